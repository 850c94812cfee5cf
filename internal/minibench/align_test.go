package minibench

import (
	"context"
	"image"
	"math"
	"testing"

	"winnow/diffusion"
	"winnow/internal/miniworld"
)

func side(name string, scale float64, seeds int) Aligned {
	m := Aligned{Name: name, Request: func(w float64) diffusion.Request { return diffusion.Request{GuidanceScale: scale * w} }}
	for range seeds {
		m.Open = append(m.Open, func(ctx context.Context) (*diffusion.Pipeline, error) {
			return diffusion.Open(ctx, diffusion.Mini, nil)
		})
	}
	return m
}

// A model that is the base differs by nothing, from whichever noises it is drawn; one that is guided otherwise differs on the same prompts by
// what the figures differ, and that from the other model's view by the same the other way round.
func TestAlign(t *testing.T) {
	prompts := heldout(t, 24)
	reward := func(_ context.Context, prompts []string, pictures []image.Image) ([]float64, error) {
		out := make([]float64, len(prompts))
		for i, p := range pictures {
			out[i] = float64(p.(*image.NRGBA).Pix[0])
		}
		return out, nil
	}
	reports, err := Align(t.Context(), side("base", 1, 1), []Aligned{side("same", 1, 2), side("other", 3, 2)}, prompts,
		AlignOptions{Steps: 4, Guidance: []float64{1, 2}, Seed: 11, Reward: reward})
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 6 {
		t.Fatalf("%d reports", len(reports))
	}
	kinds := 0
	for name, f := range reports[0].Figures {
		if base, d := reports[2].Figures[name], reports[2].Over[name]; base != f || d.Mean != 0 || d.Low != 0 || d.High != 0 || d.P != 1 {
			t.Errorf("%s of the base is %v, drawn twice it is %v with the difference %+v", name, f, base, d)
		}
		other := reports[4]
		if d := other.Over[name]; math.Abs(other.Figures[name].Mean-f.Mean-d.Mean) > 1e-12 || d.Low > d.Mean || d.High < d.Mean {
			t.Errorf("%s: %v and %v differ by %+v", name, f, other.Figures[name], d)
		}
		if len(name) > 7 && name[:7] == "strict." {
			kinds++
		}
	}
	if kinds < 3 {
		t.Errorf("figures of %d sorts of prompts", kinds)
	}
	if w := reports[2].Wins["score"]; w.Mean != 0.5 {
		t.Errorf("the base wins %v against itself", w)
	}
	turned, err := Align(t.Context(), side("base", 1, 1), []Aligned{side("other", 3, 2), side("once", 1, 1)}, prompts[:12],
		AlignOptions{Steps: 4, Guidance: []float64{1}, Seed: 11, Over: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if base, other := turned[0], turned[1]; other.Over != nil || math.Abs(base.Over["frac"].Mean-base.Figures["frac"].Mean+other.Figures["frac"].Mean) > 1e-12 {
		t.Errorf("held against another model: %+v, %+v", base, other)
	}
	if _, err := Align(t.Context(), side("base", 1, 1), nil, prompts, AlignOptions{Over: "other"}); err == nil {
		t.Error("held against a model that is not there")
	}
	if reports[4].Over["score"].Mean == 0 || reports[4].Wins["reward"].Mean == 0.5 {
		t.Errorf("stronger guidance changes nothing: %+v", reports[4])
	}
}

// heldout reads the first prompts of the set that figures are reported on.
func heldout(t *testing.T, n int) []miniworld.Prompt {
	t.Helper()
	prompts, err := Prompts("heldout", n)
	if err != nil {
		t.Fatal(err)
	}
	return prompts
}
