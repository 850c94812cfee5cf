package sampling

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// stochastic is the toy with a sampler that draws noise in every step.
func stochastic(t testing.TB, steps int) *toy {
	t.Helper()
	p := newToy(t, steps)
	plan, err := p.Plan.Scheduler().Plan(steps, &PlanOptions{Eta: 1})
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = plan
	return p
}

func TestRunSearch_stochastic(t *testing.T) {
	p := stochastic(t, 5)
	const seed = 11
	source := NewNoise(seed)
	noise := make([]float32, toySize)
	source(noise, 0, 0)
	want, err := Sample(t.Context(), p.Plan, noise, 1, p.Model, &Options{Noise: source})
	if err != nil {
		t.Fatal(err)
	}
	var pictures [][]float32
	plain := p.Verify
	p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		for c := range slices.Chunk(x, toySize) {
			pictures = append(pictures, slices.Clone(c))
		}
		return plain(ctx, x, images)
	}
	f := search(t, p.Problem, RandomSearch(), 200, seed)
	if !slices.Equal(pictures[0], want) {
		t.Errorf("the first candidate %v is not the seed's picture %v", pictures[0], want)
	}
	source = NewNoise(seed)
	source(make([]float32, toySize), 0, 0)
	again, err := Sample(t.Context(), p.Plan, f.Noise, 1, p.Model, &Options{Noise: source})
	if err != nil || !slices.Equal(again, f.Latents) {
		t.Errorf("the best candidate's noise gives %v, not %v: %v", again, f.Latents, err)
	}
}

// A step's noise must be unlike every candidate's initial noise; seeds that differ in the high bits only share a stream.
func TestSearch_streams(t *testing.T) {
	p := stochastic(t, 3)
	m := func(_ context.Context, s *Search) error {
		inner := s.inner(1)
		var drawn [][]float32
		for range 4 {
			x, y := make([]float32, toySize), make([]float32, toySize)
			s.Normal(x)
			inner(y, 0, 0)
			drawn = append(drawn, x, y)
		}
		for i, a := range drawn {
			for _, b := range drawn[:i] {
				if slices.Equal(a, b) {
					t.Errorf("drawn twice: %v", a)
				}
			}
		}
		return nil
	}
	for seed := range uint64(20) {
		if _, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100, Seed: seed}); !errors.Is(err, ErrNoScore) {
			t.Fatal(err)
		}
		if otherSeed(seed) == seed || uint32(otherSeed(seed)) == uint32(otherSeed(seed+1)) {
			t.Errorf("seed %d has the stream of another", seed)
		}
	}
}
