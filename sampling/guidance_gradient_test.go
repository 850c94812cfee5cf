package sampling_test

import (
	"math"
	"slices"
	"testing"

	"winnow/sampling"
)

// The derivative of ⟨cotangent, Rescale(guided, cond)⟩ with respect to each input is what differences measure.
func TestRescaleGradient(t *testing.T) {
	const images, size = 2, 12
	guided, cond, cot := make([]float32, images*size), make([]float32, images*size), make([]float32, images*size)
	for i := range guided {
		guided[i], cond[i], cot[i] = float32(3*math.Sin(float64(i*i))), float32(math.Cos(float64(5*i))+0.2), float32(math.Sin(float64(7*i)))
	}
	for _, factor := range []float64{0, 0.4, 1} {
		toGuided, toCond := sampling.RescaleGradient(cot, guided, cond, images, factor)
		value := func(in []float32, i int, h float32) float64 {
			g, c := slices.Clone(guided), slices.Clone(cond)
			if &in[0] == &guided[0] {
				g[i] += h
			} else {
				c[i] += h
			}
			sampling.Rescale(g, c, images, factor)
			sum := 0.0
			for k, v := range g {
				sum += float64(v) * float64(cot[k])
			}
			return sum
		}
		for name, part := range map[string]struct {
			in  []float32
			got []float64
		}{"guided": {guided, toGuided}, "cond": {cond, toCond}} {
			for i, got := range part.got {
				const h = 0.02
				if diff := (value(part.in, i, h) - value(part.in, i, -h)) / (2 * h); math.Abs(diff-got) > 1e-3 {
					t.Errorf("factor %v, %s %d: %v, differences %v", factor, name, i, got, diff)
				}
			}
		}
	}
}
