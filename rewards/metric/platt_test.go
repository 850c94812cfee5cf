package metric

import (
	"math"
	"testing"
)

// Labels that are exactly σ(2x − 0.7) are fitted exactly, but for the wide prior; separable ones stay finite.
func TestFitPlatt(t *testing.T) {
	var x, y []float64
	for i := range 400 {
		v := float64(i-200) / 40
		x, y = append(x, v), append(y, 1/(1+math.Exp(-(2*v-.7))))
	}
	a, b := FitPlatt(x, y)
	if math.Abs(a-2) > 1e-3 || math.Abs(b+.7) > 1e-3 {
		t.Errorf("%v, %v", a, b)
	}
	a, b = FitPlatt([]float64{-3, -2, 2, 3}, []float64{0, 0, 1, 1})
	if !(a > 1) || math.IsInf(a, 0) || math.Abs(b) > 1e-6 {
		t.Errorf("separable: %v, %v", a, b)
	}
	a, b = FitPlatt([]float64{0, 0}, []float64{1, 0})
	if a != 0 || math.Abs(b) > 1e-9 {
		t.Errorf("nothing to learn: %v, %v", a, b)
	}
	a, b = FitPlatt([]float64{13.8, -13.8, 13.8, -13.8, 0.1}, []float64{1, 0, 0, 1, 1}) // far out, where a full step overshoots
	if math.IsNaN(a) || math.IsNaN(b) {
		t.Errorf("%v, %v", a, b)
	}
}
