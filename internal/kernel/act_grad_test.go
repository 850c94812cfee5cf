package kernel

import (
	"math"
	"testing"
)

// TestActBackward compares every slope with central differences of the activation in float64.
func TestActBackward(t *testing.T) {
	funcs := map[Act]func(x float64) float64{
		ActNone:      func(x float64) float64 { return x },
		ActSilu:      func(x float64) float64 { return x / (1 + math.Exp(-x)) },
		ActGelu:      func(x float64) float64 { return x * 0.5 * (1 + math.Erf(x/math.Sqrt2)) },
		ActGeluTanh:  func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) },
		ActQuickGelu: func(x float64) float64 { return x / (1 + math.Exp(-1.702*x)) },
		ActRelu:      func(x float64) float64 { return math.Max(x, 0) },
		ActSigmoid:   func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		ActTanh:      math.Tanh,
	}
	eachLevel(t, func(t *testing.T) {
		rng := newRand(5)
		for act, f := range funcs {
			x, dy, got := guard(1300, 3), guard(1300, 5), guard(1300, 7)
			for i := range x.data {
				x.data[i], dy.data[i] = float32(rng.NormFloat64()*4), float32(rng.NormFloat64())
				if math.Abs(float64(x.data[i])) < 1e-3 {
					x.data[i] = 0.5
				}
			}
			act.Backward(got.data, x.data, dy.data)
			for i, v := range x.data {
				const h = 1e-4
				want := float64(dy.data[i]) * (f(float64(v)+h) - f(float64(v)-h)) / (2 * h)
				if math.Abs(float64(got.data[i])-want) > 3e-6*max(1, math.Abs(want)) {
					t.Fatalf("%v'(%g)·%g = %g, want %g", act, v, dy.data[i], got.data[i], want)
				}
			}
			same := append([]float32{}, x.data...)
			act.Backward(same, same, dy.data)
			for i := range same {
				if same[i] != got.data[i] {
					t.Fatalf("%v: in place gives %g, want %g", act, same[i], got.data[i])
				}
			}
			for _, g := range []guarded{x, dy, got} {
				g.check(t, act.String())
			}
		}
		var kink [1]float32
		ActRelu.Backward(kink[:], []float32{0}, []float32{1})
		if kink[0] != 0 {
			t.Errorf("relu'(0) = %g, want 0", kink[0])
		}
	})
}
