package sampling

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestSearch_shares(t *testing.T) {
	p := newGauss(t, "euler-a", 5).Problem
	for _, c := range []struct {
		left  int
		costs []int
		want  []int
	}{
		{24, nil, []int{3, 3, 3, 3}},
		{29, nil, []int{4, 4, 3, 3}},
		{24, []int{1, 1, 2, 2, 1}, []int{4, 4, 4, 4}},
		{15, []int{2, 2, 1, 1, 2}, []int{3, 3, 2, 2}},
	} {
		p.StepNFE = c.costs
		if got := (&Search{Problem: p, budget: c.left}).shares(); !slices.Equal(got, c.want) {
			t.Errorf("%d evaluations of steps that cost %v: %v, want %v", c.left, c.costs, got, c.want)
		}
	}
}

// script is a verifier that scores previews as told, and counts which step each was of.
func script(p *gauss, scores []float64) (verify Verifier, steps *[]int) {
	var at int
	plain := p.Model
	p.Model = func(ctx context.Context, dst, x []float32, ts float64) error {
		at = slices.Index(p.Plan.Timesteps, ts)
		return plain(ctx, dst, x, ts)
	}
	steps = new([]int)
	return func(_ context.Context, _ []float32, images int) ([]float64, error) {
		*steps = append(*steps, slices.Repeat([]int{at}, images)...)
		out := make([]float64, images)
		for i := range out {
			if out[i] = -1; len(scores) > 0 {
				out[i], scores = scores[0], scores[1:]
			}
		}
		return out, nil
	}, steps
}

// A step goes on at the first child that beats what it comes from, and the next ones have what it left.
func TestRBF_rolls(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		starts int
		looks  int
		scores []float64
		want   []int // the steps whose states were verified, the last a picture
	}{
		// Two a step. Step 1: the second child beats 0. Step 2: the first does. Step 3 has three and finds none.
		{"rolled over", 1, 9, []float64{0, -1, 1, 2, 1, 1, 1, 3, 5}, []int{0, 1, 1, 2, 3, 3, 3, 4, 4}},
		{"never better", 1, 9, []float64{0}, []int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}},
		{"always better", 1, 9, []float64{0, 1, 2, 3, 4, 5}, []int{0, 1, 2, 3, 4, 4}},
		// The incumbent is the best child, also when it is worse than its parent: -2 is beaten by -1.
		{"best of the worse", 1, 9, []float64{0, -3, -2, -1, -4, -4, -0.5, 1, 1}, []int{0, 1, 1, 2, 3, 3, 3, 4, 4}},
		{"from the best start", 3, 11, []float64{0, 5, 1, 4, 3, 3.5, 9, 10, 11}, []int{0, 0, 0, 1, 1, 2, 2, 3, 4, 4}},
		{"not scored", 1, 9, []float64{0, nan, 1, nan, nan}, []int{0, 1, 1, 2, 2}},
	} {
		p := newGauss(t, "euler-a", 5)
		var steps *[]int
		p.Verify, steps = script(p, c.scores)
		_, err := RunSearch(t.Context(), p.Problem, RBF(RBFOptions{Starts: max(c.starts, 1)}), SearchOptions{Budget: 2 * c.looks})
		if c.name != "not scored" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(*steps) < len(c.want) || !slices.Equal((*steps)[:len(c.want)], c.want) {
			t.Errorf("%s: verified at steps %v, not %v", c.name, *steps, c.want)
		}
	}
}

// Whatever scores come, the looks of all runs stay within the budget, and what is left does not pay for a picture.
func TestRBF_budget(t *testing.T) {
	p := newGauss(t, "euler-a", 5)
	for budget := 10; budget < 140; budget += 3 {
		for _, starts := range []int{0, 1, 7, 1000} {
			f := search(t, p.Problem, RBF(RBFOptions{Starts: starts}), budget, uint64(budget))
			if budget-f.NFE >= 10 || f.Latents == nil {
				t.Errorf("budget %d, starts %d: %d spent", budget, starts, f.NFE)
			}
		}
	}
}

// With little noise in the steps a picture follows from its start, and the best start is gone on from.
func TestRBF_starts(t *testing.T) {
	p := newGaussEta(t, "ddim", 5, 0.2)
	var looked, plain []float64
	for seed := range uint64(60) {
		looked = append(looked, search(t, p.Problem, RBF(RBFOptions{Starts: 20}), 2*24, seed).Score)
		plain = append(plain, search(t, p.Problem, RBF(RBFOptions{Starts: 1}), 2*5, seed).Score)
	}
	a, sa := meanOf(looked)
	if b, sb := meanOf(plain); !(a-b >= 5*math.Hypot(sa, sb)) {
		t.Errorf("the best of 20 noises scores %v ± %v, the first %v ± %v", a, sa, b, sb)
	}
}

// A picture is called the seed's, or that of its noise, only when nothing was steered.
func TestRBF_plain(t *testing.T) {
	p := newGauss(t, "euler-a", 5)
	steered := 0
	for seed := range uint64(40) {
		starts := 1 + 2*int(seed%2) // of three, another may be gone on from, at one child a step
		f := search(t, p.Problem, RBF(RBFOptions{Starts: starts}), 2*(9-2*int(seed%2)), seed)
		plain := search(t, p.Problem, RandomSearch(), 10, seed)
		same := slices.Equal(f.Latents, plain.Latents)
		if same != (f.First == plain.First) || same != slices.Equal(f.Noise, plain.Noise) || !same && !math.IsNaN(f.First) {
			t.Errorf("seed %d: first %v, noise %v; the plain picture scores %v", seed, f.First, f.Noise, plain.First)
		}
		if !same {
			steered++
		}
	}
	if steered == 0 || steered == 40 {
		t.Errorf("%d of 40 seeds were steered", steered)
	}
}
