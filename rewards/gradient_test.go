package rewards

import (
	"math"
	"testing"
)

// The derivative along its own direction is the slope that central differences of the score measure.
func TestGradient_equalsDifferences(t *testing.T) {
	g := readPublished(t)
	for name, c := range publishedCases {
		m := openTiny(t, name, c.folder, &Options{Truncate: true})
		pixels, err := m.prepare([]Sample{{Image: g.picture(t, 30)}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		score, grad, err := m.Gradient(t.Context(), g.Prompts[0], pixels)
		if err != nil {
			t.Fatal(err)
		}
		if want := g.Scores[name][30]; math.Abs(score-want) > c.tolerance {
			t.Errorf("%s: score %v, want %v", name, score, want)
		}
		var norm float64
		for _, v := range grad {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		if norm == 0 {
			if want := g.Scores[name][30]; want != 0 { // CLIPScore is cut at 0
				t.Errorf("%s: no gradient at %v", name, want)
			}
			continue
		}
		step := 0.02
		if name == SigLIPProbability { // the logit moves by 0.6 in that step, and the logistic function bends
			step = 0.002
		}
		at := func(side float64) float64 {
			moved := make([]float32, len(pixels))
			for i, v := range pixels {
				moved[i] = v + float32(side*step*float64(grad[i])/norm)
			}
			s, _, err := m.Gradient(t.Context(), g.Prompts[0], moved)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if got := (at(1) - at(-1)) / (2 * step); math.Abs(got-norm) > 0.01*norm {
			t.Errorf("%s: slope %v, differences %v", name, norm, got)
		}
	}
	if _, _, err := openTiny(t, Aesthetic, Aesthetic, nil).Gradient(t.Context(), "", make([]float32, 5)); err == nil {
		t.Error("short picture accepted")
	}
}
