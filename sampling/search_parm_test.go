package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// N candidates of which K go on at step c of S cost N·c + K·(S−c) evaluations.
func TestPARM_cost(t *testing.T) {
	for _, sampler := range []string{"ddim", "pndm", "dpmpp-2m"} {
		p := newGauss(t, sampler, 10)
		steps := p.Plan.Len()
		for _, c := range []struct {
			candidates int
			checks     []float64
			keep       float64
			at         []int // candidates from one check to the next
		}{
			{8, []float64{0.5}, 0.25, []int{8, 2}},
			{8, []float64{0.3, 0.7}, 0.5, []int{8, 4, 2}},
			{5, []float64{0.5}, 0.1, []int{5, 1}},
			{3, nil, 1, []int{3, 3}},
		} {
			o := PARMOptions{Candidates: c.candidates, Checks: c.checks, Keep: c.keep}
			want, calls, last := 0, c.at[len(c.at)-1], 0
			for i, n := range c.at[:len(c.at)-1] {
				shares := c.checks
				if shares == nil {
					shares = []float64{0.4}
				}
				at := int(math.Round(shares[i] * float64(steps)))
				want += n * (at - last)
				calls, last = calls+n, at
			}
			want += c.at[len(c.at)-1] * (steps - last)
			f := search(t, p.Problem, PARM(o), 2*want, 4)
			if f.NFE != 2*want || f.Calls != calls {
				t.Errorf("%s, %+v: %d evaluations and %d calls, not %d and %d", sampler, c, f.NFE, f.Calls, 2*want, calls)
			}
			o.Candidates = 0 // the same number follows from the budget
			if f := search(t, p.Problem, PARM(o), 2*want, 4); f.NFE != 2*want || f.Calls != calls {
				t.Errorf("%s, %+v by budget: %d evaluations and %d calls, not %d and %d", sampler, c, f.NFE, f.Calls, 2*want, calls)
			}
		}
	}
}

// Pictures are those of their noise, so that a search over noise could go on from them; the best preview's candidate survives.
func TestPARM_plainPictures(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a", "dpmpp-2m"} {
		p := newGauss(t, sampler, 8)
		for seed := range uint64(12) {
			f := search(t, p.Problem, PARM(PARMOptions{Candidates: 6, Checks: []float64{0.5}, Keep: 0.3}), 2*(6*4+2*4), seed)
			var want []float32
			one := func(ctx context.Context, s *Search) error {
				s.Normal(make([]float32, toySize))
				_, err := s.Evaluate(ctx, f.Noise, 1)
				want = s.found.Latents
				return err
			}
			search(t, p.Problem, one, 16, seed)
			if !slices.Equal(f.Latents, want) {
				t.Errorf("%s, seed %d: %v, from its noise %v", sampler, seed, f.Latents, want)
			}
			plain := search(t, p.Problem, RandomSearch(), 16, seed)
			if !math.IsNaN(f.First) && f.First != plain.First {
				t.Errorf("%s, seed %d: the plain picture scores %v, not %v", sampler, seed, f.First, plain.First)
			}
		}
	}
}

// told is a verifier that reads what to say from the first number of the candidate's noise, which the toy's pictures are
// multiples of.
func told(t *testing.T, p *toy, noise []float32, say []float64, log *[]int) Verifier {
	return func(_ context.Context, x []float32, images int) ([]float64, error) {
		out := make([]float64, images)
		for i := range out {
			best := -1
			for k := range say {
				r := float64(x[i*toySize+1]) / float64(x[i*toySize])
				if math.Abs(r-float64(noise[k*toySize+1])/float64(noise[k*toySize])) < 1e-4*math.Abs(r) {
					best = k
				}
			}
			if best < 0 {
				t.Fatalf("a picture of no candidate: %v", x[i*toySize:(i+1)*toySize])
			}
			*log = append(*log, best)
			out[i] = say[best]
		}
		return out, nil
	}
}

// Clear and potential: who is judged at which check, and who goes on.
func TestPARM_verifiers(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name             string
		clear, potential []float64
		budget           int
		judged, finished []int
		nfe              int
	}{
		{"threshold", nil, []float64{0.6, 0.4, 0.5, 0.1}, 37, []int{0, 1, 2, 3}, []int{0, 2}, 4*4 + 2*6},
		{"none passes", nil, []float64{0.1, 0.2, 0.45, 0.3}, 31, []int{0, 1, 2, 3}, []int{2}, 4*4 + 6},
		{"unclear go on", []float64{0.9, 0.2, 0.7, nan}, []float64{0.1, 0.9, 0.9, 0.9}, 43, []int{0, 2}, []int{1, 2, 3}, 4*4 + 3*6},
		{"not scored", nil, []float64{nan, 0.4, nan, 0.6}, 31, []int{0, 1, 2, 3}, []int{3}, 4*4 + 6},
		{"nothing scored", nil, []float64{nan, nan, nan, nan}, 25, []int{0, 1, 2, 3}, nil, 4 * 4},
		{"more than it pays for", nil, []float64{0.6, 0.9, 0.7, 0.8}, 29, []int{0, 1, 2, 3}, []int{1, 3}, 4*4 + 2*6},
	} {
		p := newToy(t, 10)
		noise := make([]float32, 4*toySize)
		draw := func(_ context.Context, s *Search) error {
			copy(noise, s.draw(4))
			return nil
		}
		if _, err := RunSearch(t.Context(), p.Problem, draw, SearchOptions{Budget: 20, Seed: 3}); !errors.Is(err, ErrNoScore) {
			t.Fatal(err)
		}
		var judged, finished, cleared []int
		o := PARMOptions{Candidates: 4, Checks: []float64{0.4}, Potential: told(t, p, noise, c.potential, &judged)}
		if c.clear != nil {
			o.Clear = told(t, p, noise, c.clear, &cleared)
		}
		p.Verify = told(t, p, noise, []float64{1, 2, 3, 4}, &finished)
		found, err := RunSearch(t.Context(), p.Problem, PARM(o), SearchOptions{Budget: 2 * c.budget, Seed: 3})
		if (c.finished == nil) != errors.Is(err, ErrNoScore) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !slices.Equal(judged, c.judged) || !slices.Equal(finished, c.finished) || found.NFE != 2*c.nfe {
			t.Errorf("%s: judged %v, finished %v, %d evaluations; not %v, %v, %d", c.name, judged, finished, found.NFE, c.judged, c.finished, 2*c.nfe)
		}
	}
}
