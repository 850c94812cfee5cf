package sampling

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
)

// lawful reports how far numbers are from standard normal ones: mean within 4/√d, variance within 4√(2/d), hence the length too.
func lawful(z []float32) error {
	d := float64(len(z))
	sum := 0.0
	for _, v := range z {
		sum += float64(v)
	}
	mean := sum / d
	variance := squared(z)/d - mean*mean
	if math.Abs(mean) > 4/math.Sqrt(d) || math.Abs(variance-1) > 4*math.Sqrt(2/d) || math.Abs(norm(z)/math.Sqrt(d)-1) > 3/math.Sqrt(d) {
		return fmt.Errorf("mean %v, variance %v, length %v of √d", mean, variance, norm(z)/math.Sqrt(d))
	}
	return nil
}

func TestEvolution_law(t *testing.T) {
	const size, population, generations = 1024, 12, 25
	for _, how := range []Crossover{Slerp, Mix} {
		for _, tournament := range []int{0, 3} {
			p := newSpace(t, size, first)
			o := EvolutionOptions{Population: population, Tournament: tournament, Crossover: how, Mutation: 0.1}
			f := search(t, p.Problem, Evolution(o), 2*(1+(population-1)*generations), 8)
			tried := p.tried
			random := search(t, p.Problem, RandomSearch(), f.NFE, 8)
			if len(tried) != 1+(population-1)*generations || f.Score <= random.Score {
				t.Errorf("%s, tournament %d: %d pictures, %v; fresh noise %v", how, tournament, len(tried), f.Score, random.Score)
			}
			for k, z := range tried {
				if err := lawful(z); err != nil {
					t.Fatalf("%s, tournament %d: picture %d: %v", how, tournament, k, err)
				}
			}
		}
	}
}

func TestCross(t *testing.T) {
	p := newSpace(t, 512, first)
	m := func(_ context.Context, s *Search) error {
		a, far := s.fresh(), s.fresh()
		near := make([]float32, s.Size)
		s.blend(near, a, 0.2)
		for _, b := range [][]float32{far, near, a} {
			for _, how := range []Crossover{Slerp, Mix} {
				for _, share := range []float64{0, 0.25, 0.5, 1} {
					z := cross(how, a, b, share)
					want := (1-share)*norm(a) + share*norm(b)
					if d := norm(z)/want - 1; math.Abs(d) > 1e-6 {
						t.Errorf("%s %v: the length is off by %v", how, share, d)
					}
					ca, cb := cosine(z, a), cosine(z, b)
					if share == 0 && ca < 1-1e-6 || share == 1 && cb < 1-1e-6 || share == 0.5 && math.Abs(ca-cb) > 1e-6 {
						t.Errorf("%s %v: cosines %v and %v", how, share, ca, cb)
					}
				}
			}
		}
		angle := math.Acos(cosine(a, far))
		if got := math.Acos(cosine(a, cross(Slerp, a, far, 0.25))); math.Abs(got-angle/4) > 1e-4 {
			t.Errorf("a quarter of the way: %v of %v", got, angle)
		}
		opposite := make([]float32, s.Size)
		scaleTo(opposite, a, -1)
		if z := cross(Slerp, a, opposite, 0.5); !slices.Equal(z, a) {
			t.Error("opposite parents")
		}
		return errSpent
	}
	_, _ = RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100, Seed: 3})
}

func TestEvolution_parents(t *testing.T) {
	p := newSpace(t, 4, first)
	m := func(_ context.Context, s *Search) error {
		for _, c := range []struct {
			o     EvolutionOptions
			n     int
			worst int // that may be a parent
		}{
			{EvolutionOptions{Population: 10, Survivors: 0.5}, 10, 4},
			{EvolutionOptions{Population: 10, Survivors: 0.5}, 3, 2},
			{EvolutionOptions{Population: 10, Survivors: 0.01}, 10, 1},
			{EvolutionOptions{Population: 10, Tournament: 1}, 10, 9},
			{EvolutionOptions{Population: 10, Tournament: 4}, 10, 9},
		} {
			counts := make([]int, c.n)
			for range 2000 {
				i := s.parent(c.n, -1, &c.o)
				j := s.parent(c.n, i, &c.o)
				if i == j {
					t.Fatalf("%+v: a parent with itself", c)
				}
				counts[i]++
			}
			for i, n := range counts {
				if (n > 0) != (i <= c.worst) && c.o.Tournament != 4 {
					t.Errorf("%+v: member %d was picked %d times", c, i, n)
				}
			}
			// The best of four in ten is the first member with the probability 1 − 0.9⁴.
			if share := float64(counts[0]) / 2000; c.o.Tournament == 4 && math.Abs(share-(1-math.Pow(0.9, 4))) > 0.045 {
				t.Errorf("a tournament of four is won by the best in %v", share)
			}
		}
		return errSpent
	}
	_, _ = RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100, Seed: 3})
}
