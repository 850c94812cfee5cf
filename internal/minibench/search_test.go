package minibench

import (
	"bytes"
	"context"
	"image"
	"testing"

	"winnow/assets"
	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/rewards"
)

// Best of N pleases the reward more the larger N is, never exceeds its budget, and repeats.
func TestRunSearches(t *testing.T) {
	data, err := assets.MiniPrompts("validation")
	if err != nil {
		t.Fatal(err)
	}
	prompts, err := miniworld.ReadPrompts(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p, err := diffusion.Open(t.Context(), diffusion.Mini, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	m, err := rewards.Open(t.Context(), rewards.Mini, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	score := func(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
		return m.Score(ctx, prompt, images)
	}
	o := SearchOptions{Methods: []string{"random"}, Multiples: []int{2, 6}, Steps: 4, Guidance: 3, Seed: 5}
	r, err := RunSearches(t.Context(), p, score, prompts[:8], o)
	if err != nil || len(r) != 3 || r[0].Method != "plain" {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, want := range []float64{8, 16, 48} {
		if r[i].NFE.Mean != want || r[i].Calls.Mean != want/8 {
			t.Errorf("%s at %d×: %v evaluations, %v pictures", r[i].Method, r[i].Multiple, r[i].NFE, r[i].Calls)
		}
	}
	if !(r[0].Reward.Mean < r[1].Reward.Mean && r[1].Reward.Mean < r[2].Reward.Mean) {
		t.Errorf("rewards %v, %v, %v", r[0].Reward, r[1].Reward, r[2].Reward)
	}
	o.Multiples, o.ByChecker = []int{6}, true
	checked, err := RunSearches(t.Context(), p, score, prompts[:8], o)
	if err != nil || checked[1].Checker.Mean < r[2].Checker.Mean || checked[0].Checker != r[0].Checker {
		t.Errorf("by the checker: %+v, %v", checked, err)
	}
}
