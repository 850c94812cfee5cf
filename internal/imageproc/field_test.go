package imageproc

import (
	"math"
	"testing"
)

func TestResized_equalsTorchToFiveDigits(t *testing.T) {
	var g struct {
		Rows []struct {
			W, H      int
			Out       [2]int
			Antialias bool
			Probe     []float64
		}
	}
	readJSON(t, "tensor.json", &g)
	if len(g.Rows) < 20 {
		t.Fatalf("only %d goldens", len(g.Rows))
	}
	for _, r := range g.Rows {
		tapsOf := interpolated
		if r.Antialias {
			tapsOf = smooth
		}
		got := channel(formula(r.W, r.H), 0).resized(r.Out[0], r.Out[1], tapsOf, nil)
		for i, want := range r.Probe {
			if d := math.Abs(got.v[7*i]/255 - want); d > 1e-5 {
				t.Errorf("%d×%d to %v, antialias %v: value %d is off by %g", r.W, r.H, r.Out, r.Antialias, 7*i, d)
				break
			}
		}
	}
}
