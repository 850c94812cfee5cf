package sampling

import (
	"context"
	"math"
	"slices"
	"testing"

	"winnow/internal/rng"
)

// Without a preference for what scores high the pictures follow the sampler's own law; with one they move up.
func TestSVDD_law(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newGauss(t, sampler, 6)
		for _, c := range []struct {
			temperature float64
			every       int
		}{{math.Inf(1), 1}, {math.Inf(1), 3}, {0.5, 1}, {0, 1}, {0, 3}} {
			var firsts, squares []float64
			for seed := range uint64(400) {
				f := search(t, p.Problem, SVDD(SVDDOptions{Children: 4, Every: c.every, Temperature: c.temperature}), 2*(1+4*5), seed)
				firsts = append(firsts, float64(f.Latents[0]))
				for _, v := range f.Latents[1:] { // the score says nothing about these
					squares = append(squares, float64(v)*float64(v))
				}
			}
			mean, se := meanOf(firsts)
			if moved := mean > 5*se; moved == math.IsInf(c.temperature, 1) || !moved && !(math.Abs(mean) <= 3*se) {
				t.Errorf("%s, τ = %v, blocks of %d: mean %v ± %v", sampler, c.temperature, c.every, mean, se)
			}
			if mean, se := meanOf(squares); !(math.Abs(mean-p.variance) <= 3*se) {
				t.Errorf("%s, τ = %v, blocks of %d: variance %v ± %v, not %v", sampler, c.temperature, c.every, mean, se, p.variance)
			}
		}
	}
}

func TestSVDD_cost(t *testing.T) {
	p := newGauss(t, "ddim", 7)
	for _, c := range []struct{ children, every, nfe, calls int }{
		{5, 1, 2 * (1 + 5*6), 6*5 + 1}, // five children cost five evaluations a step, their previews nothing
		{5, 2, 2 * (1 + 5*6), 3*5 + 1},
		{5, 4, 2 * (1 + 5*6), 2*5 + 1},
		{0, 1, 2 * (1 + 13*6), 6*13 + 1},
	} {
		budget := c.nfe + 7
		f := search(t, p.Problem, SVDD(SVDDOptions{Children: c.children, Every: c.every}), budget, 1)
		if f.NFE != c.nfe || f.Calls != c.calls {
			t.Errorf("%+v: %d evaluations, %d calls", c, f.NFE, f.Calls)
		}
	}
}

// With τ = 0 every step goes on from the child of the best preview.
func TestSVDD_argmax(t *testing.T) {
	p := newGauss(t, "ddim", 5)
	var best float64
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		out, err := firstNumber(ctx, x, images)
		if images > 1 {
			best = slices.Max(out)
		}
		return out, err
	}
	for seed := range uint64(10) {
		// The last step here adds no noise and, with the network certain of nothing more, leads to the preview that it starts from.
		f := search(t, p.Problem, SVDD(SVDDOptions{Children: 6}), 2*(1+6*4), seed)
		if !(math.Abs(f.Score-best) <= 1e-5) {
			t.Errorf("seed %d: the picture scores %v, the best preview before the last step %v", seed, f.Score, best)
		}
	}
}

func TestSearch_choose(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		scores []float64
		want   int
	}{
		{[]float64{nan, -3, 2, 2, nan}, 2}, {[]float64{nan}, -1}, {[]float64{-1}, 0},
	} {
		for _, temperature := range []float64{0, 1e-9} {
			s := &Search{stream: rng.New(1)}
			if got := s.choose(c.scores, temperature); got != c.want && (temperature == 0 || c.scores[max(got, 0)] != c.scores[max(c.want, 0)]) {
				t.Errorf("%v at τ = %v: %d", c.scores, temperature, got)
			}
		}
	}
	s := &Search{stream: rng.New(1)}
	counts := make([]float64, 4)
	const draws = 20000
	for range draws {
		counts[s.choose([]float64{1, 1 + 0.5*math.Log(3), nan, 1}, 0.5)] += 1. / draws
	}
	for i, want := range []float64{0.2, 0.6, 0, 0.2} {
		if !(math.Abs(counts[i]-want) <= 3*math.Sqrt(want*(1-want)/draws)) {
			t.Errorf("child %d is kept with a chance of %v, not %v", i, counts[i], want)
		}
	}
}
