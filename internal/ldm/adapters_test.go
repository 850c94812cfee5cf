package ldm

import (
	"math"
	"slices"
	"testing"
)

// Each half of a guided call sees the adapters of its side, with the way back as without; the prompt's half alone is what a call
// without guidance sees.
func TestAdapters_sides(t *testing.T) {
	folder, err := DirFolder("../../tests/tiny/sd15")
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 * 8 * 8
	predict := func(side Side, back bool) []float32 {
		p, err := Open(t.Context(), folder, Options{Adapters: []AdapterFile{
			{Path: "../../tests/golden/lora/sd15-kohya.safetensors", Scale: 1, Side: side},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		positive, err := p.Encode(t.Context(), []string{"a red circle"}, false)
		if err != nil {
			t.Fatal(err)
		}
		negative, err := p.EncodeEmpty(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(i%13)/7 - 1
		}
		out := make([]float32, size)
		if back { // 3·positive − 2·negative
			_, err = p.Pullback(Guidance{Positive: positive, Negative: negative, ByPositive: 3, ByNegative: -2, Height: 8, Width: 8})(t.Context(), out, x, 500,
				func() ([]float32, error) { return make([]float32, size), nil })
		} else {
			var both Embeds
			if both, err = negative.Stack(positive); err != nil {
				t.Fatal(err)
			}
			c := both.Cond(32, 32)
			c.Negative = 1
			halves := make([]float32, 2*size)
			err = p.Denoise(t.Context(), halves, append(slices.Clone(x), x...), 2, 8, 8, 500, c)
			for i := range out {
				out[i] = 3*halves[size+i] - 2*halves[i]
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	seen := map[Side][]float32{}
	for _, side := range []Side{Both, Positive, Negative} {
		seen[side] = predict(side, false)
		if d := farthest(seen[side], predict(side, true)); d > 1e-4 {
			t.Errorf("side %d: the prediction on the way back differs by %g", side, d)
		}
	}
	if a, b, c := farthest(seen[Both], seen[Positive]), farthest(seen[Both], seen[Negative]), farthest(seen[Positive], seen[Negative]); min(a, b, c) < 1e-2 {
		t.Errorf("sides differ by %g, %g and %g only", a, b, c)
	}
}

// farthest is the largest difference.
func farthest(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i]-b[i])))
	}
	return worst
}
