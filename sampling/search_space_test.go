package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// space is a problem whose pictures are their initial noise, so that a reward of the noise can be given. It remembers every noise
// that a picture was begun from.
type space struct {
	Problem
	tried [][]float32
}

func newSpace(t testing.TB, size int, reward func(z []float32) float64) *space {
	t.Helper()
	p := &space{Problem: newToy(t, 1).Problem}
	one, err := Sample(t.Context(), p.Plan, slices.Repeat([]float32{1}, size), 1, zeroModel, nil)
	if err != nil {
		t.Fatal(err)
	}
	factor := one[0]
	p.Size, p.Model, p.Batch = size, zeroModel, 0
	p.Verify = func(_ context.Context, x []float32, images int) ([]float64, error) {
		out := make([]float64, 0, images)
		for picture := range slices.Chunk(x, size) {
			z := make([]float32, size)
			for i, v := range picture {
				z[i] = v / factor
			}
			p.tried = append(p.tried, z)
			out = append(out, reward(z))
		}
		return out, nil
	}
	return p
}

func zeroModel(_ context.Context, dst, _ []float32, _ float64) error {
	clear(dst)
	return nil
}

func first(z []float32) float64 { return float64(z[0]) }

// away is a reward with one best place, which is not the origin.
func away(z []float32) float64 {
	sum := 0.0
	for i, v := range z {
		d := float64(v) - math.Cos(float64(i))
		sum -= d * d
	}
	return sum
}

// method is a way to search with what its tests need to know.
type method struct {
	name       string
	run        Method
	stochastic bool // needs a sampler that draws noise
}

func spaceMethods() []method {
	return []method{
		{"zero-order", ZeroOrder(ZeroOrderOptions{}), false},
		{"zero-order, restart", ZeroOrder(ZeroOrderOptions{Restart: true, Neighbours: 2}), false},
		{"zero-order, from the best of six", ZeroOrder(ZeroOrderOptions{First: 6, Neighbours: 2}), false},
		{"evolution", Evolution(EvolutionOptions{Population: 6}), false},
		{"evolution, tournament, mix", Evolution(EvolutionOptions{Population: 6, Tournament: 2, Crossover: Mix}), false},
		{"pcn", PCN(PCNOptions{BurnIn: 5}), false},
		{"pcn, four chains", PCN(PCNOptions{ChainOptions: ChainOptions{Chains: 4, Beta: 1}, BurnIn: 5}), false},
		{"suffix", Suffix(SuffixOptions{}), true},
		{"suffix, three chains", Suffix(SuffixOptions{ChainOptions: ChainOptions{Chains: 3, Beta: 1, Step: 0.5}}), true},
		{"suffix, the last steps", Suffix(SuffixOptions{ChainOptions: ChainOptions{First: 6}, Begin: 0.5}), true},
		{"spsa", SPSA(SPSAOptions{Pairs: 2}), false},
		{"spsa, regulariser", SPSA(SPSAOptions{Pairs: 2, Regulariser: 0.5, Momentum: -1}), false},
	}
}

func (m method) problem(t testing.TB) *toy {
	if m.stochastic {
		return stochastic(t, 5)
	}
	return newToy(t, 5)
}

func TestSpaceMethods_beatOneSample(t *testing.T) {
	for _, m := range spaceMethods() {
		better := 0
		for seed := range uint64(20) {
			f := search(t, m.problem(t).Problem, m.run, 600, seed)
			if f.Score > f.First {
				better++
			}
			if f.Score < f.First || f.NFE < 500 {
				t.Errorf("%s, seed %d: %v after %v, %d evaluations", m.name, seed, f.Score, f.First, f.NFE)
			}
		}
		// Among 60 fresh pictures the first would be the best in one run of 60.
		if better < 18 {
			t.Errorf("%s: better than the seed's picture in %d runs of 20", m.name, better)
		}
	}
}

func TestSpaceMethods_firstIsTheSeeds(t *testing.T) {
	for _, m := range spaceMethods() {
		for _, seed := range []uint64{0, 5} {
			p := m.problem(t)
			want := search(t, p.Problem, RandomSearch(), 10, seed)
			f := search(t, p.Problem, m.run, 10, seed)
			if f.Calls != 1 || f.First != want.First || !slices.Equal(f.Latents, want.Latents) {
				t.Errorf("%s, seed %d: the first picture is %v, the seed's %v", m.name, seed, f.Latents, want.Latents)
			}
			if f = search(t, p.Problem, m.run, 300, seed); f.First != want.First {
				t.Errorf("%s, seed %d: the first picture scores %v, the seed's %v", m.name, seed, f.First, want.First)
			}
		}
	}
}

func TestSpaceMethods_batch(t *testing.T) {
	for _, m := range spaceMethods() {
		var want Found
		for batch := 1; batch <= 3; batch++ {
			p := m.problem(t)
			p.Batch = batch
			f := search(t, p.Problem, m.run, 333, 4)
			f.Trace = nil // an entry for every batch
			if batch == 1 {
				want = f
			}
			if f.Score != want.Score || f.First != want.First || f.NFE != want.NFE || f.Calls != want.Calls ||
				!slices.Equal(f.Latents, want.Latents) || !slices.Equal(f.Noise, want.Noise) {
				t.Errorf("%s: in batches of %d %+v, one by one %+v", m.name, batch, f, want)
			}
		}
		if p := m.problem(t); search(t, p.Problem, m.run, 333, 5).Score == want.Score {
			t.Errorf("%s: another seed finds the same", m.name)
		}
	}
}

func TestSpaceMethods_spend(t *testing.T) {
	for _, m := range spaceMethods() {
		for _, budget := range []int{10, 11, 20, 57, 130} {
			p := m.problem(t)
			images, network := 0, p.Model
			p.Model = func(ctx context.Context, dst, x []float32, at float64) error {
				images += len(x) / toySize
				return network(ctx, dst, x, at)
			}
			f := search(t, p.Problem, m.run, budget, 1)
			if f.NFE != 2*images || f.NFE != f.Trace[len(f.Trace)-1].NFE || f.Calls < 1 || budget-f.NFE >= 10*2 && !m.stochastic {
				t.Errorf("%s: %d evaluations of %d, %d calls", m.name, f.NFE, budget, f.Calls)
			}
		}
	}
}

func TestSpaceMethods_drops(t *testing.T) {
	for _, m := range spaceMethods() {
		for name, drop := range map[string]func(k int, score float64) bool{
			"every third":          func(k int, _ float64) bool { return k%3 == 1 },
			"the first eleven":     func(k int, _ float64) bool { return k < 11 },
			"all positive":         func(_ int, v float64) bool { return v > 0 },
			"all but the eleventh": func(k int, _ float64) bool { return k != 10 },
		} {
			p := m.problem(t)
			plain, calls := p.Verify, 0
			dropped := 0
			p.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
				out, err := plain(ctx, x, images)
				for i := range out {
					if drop(calls, out[i]) {
						out[i] = math.NaN()
						dropped++
					}
					calls++
				}
				return out, err
			}
			f := search(t, p.Problem, m.run, 400, 3)
			if f.Dropped != dropped || dropped == 0 || math.IsNaN(f.Score) || math.IsInf(f.Score, 0) || name == "all positive" && f.Score > 0 {
				t.Errorf("%s, %s: %d dropped, %d counted, score %v", m.name, name, dropped, f.Dropped, f.Score)
			}
		}
		p := m.problem(t)
		p.Verify = func(_ context.Context, _ []float32, images int) ([]float64, error) {
			return slices.Repeat([]float64{math.Inf(1)}, images), nil
		}
		f, err := RunSearch(t.Context(), p.Problem, m.run, SearchOptions{Budget: 400})
		if !errors.Is(err, ErrNoScore) || f.Dropped != f.Calls || f.Latents != nil {
			t.Errorf("%s: nothing scored: %+v, %v", m.name, f, err)
		}
	}
}

func TestSpaceMethods_interrupted(t *testing.T) {
	for _, m := range spaceMethods() {
		p := m.problem(t)
		ctx, cancel := context.WithCancel(t.Context())
		best := math.Inf(-1)
		f, err := RunSearch(ctx, p.Problem, m.run, SearchOptions{Budget: 4000, OnPoint: func(pt Point) error {
			if best = pt.Best; pt.Calls > 12 {
				cancel()
			}
			return nil
		}})
		if !errors.Is(err, context.Canceled) || f.Latents == nil || f.Score != best || f.Calls > 16 {
			t.Errorf("%s: %+v, %v; the best was %v", m.name, f, err, best)
		}
		cancel()
		full := errors.New("disk full")
		f, err = RunSearch(t.Context(), p.Problem, m.run, SearchOptions{Budget: 400, OnPoint: func(Point) error { return full }})
		if !errors.Is(err, full) || f.Latents == nil {
			t.Errorf("%s: an observer that fails: %+v, %v", m.name, f, err)
		}
	}
}

func TestSpaceMethods_settings(t *testing.T) {
	for name, m := range map[string]Method{
		"cosine 1.2":        ZeroOrder(ZeroOrderOptions{Cosine: 1.2}),
		"cosine NaN":        ZeroOrder(ZeroOrderOptions{Cosine: math.NaN()}),
		"neighbours -1":     ZeroOrder(ZeroOrderOptions{Neighbours: -1}),
		"population 1":      Evolution(EvolutionOptions{Population: 1}),
		"elite 16":          Evolution(EvolutionOptions{Elite: 16}),
		"survivors 2":       Evolution(EvolutionOptions{Survivors: 2}),
		"tournament -1":     Evolution(EvolutionOptions{Tournament: -1}),
		"mutation -0.1":     Evolution(EvolutionOptions{Mutation: -0.1}),
		"temperature -1":    PCN(PCNOptions{ChainOptions: ChainOptions{Beta: -1}}),
		"chains -1":         PCN(PCNOptions{ChainOptions: ChainOptions{Chains: -1}}),
		"step 1.1":          PCN(PCNOptions{ChainOptions: ChainOptions{Step: 1.1}}),
		"ladder 0.5":        PCN(PCNOptions{Ladder: 0.5}),
		"suffix's step NaN": Suffix(SuffixOptions{ChainOptions: ChainOptions{Step: math.NaN()}}),
		"first pictures -1": PCN(PCNOptions{ChainOptions: ChainOptions{First: -1}}),
		"first noises -1":   ZeroOrder(ZeroOrderOptions{First: -1}),
		"begin 1.5":         Suffix(SuffixOptions{Begin: 1.5}),
		"no step noise":     Suffix(SuffixOptions{}),
		"pairs -1":          SPSA(SPSAOptions{Pairs: -1}),
		"radius -1":         SPSA(SPSAOptions{Radius: -1}),
		"rate 2":            SPSA(SPSAOptions{Rate: 2}),
		"momentum 1":        SPSA(SPSAOptions{Momentum: 1}),
		"regulariser -1":    SPSA(SPSAOptions{Regulariser: -1}),
		"crossover \"mx\"":  Evolution(EvolutionOptions{Crossover: "mx"}),
	} {
		p := newToy(t, 5)
		f, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 400})
		if err == nil || errors.Is(err, ErrNoScore) || f.NFE != 0 {
			t.Errorf("%s was taken: %v, %d evaluations", name, err, f.NFE)
		}
	}
}

// With nested seeds a larger budget sees the same candidates first.
func TestSpaceMethods_monotone(t *testing.T) {
	for _, m := range append(spaceMethods(), method{"random", RandomSearch(), false}) {
		last := math.Inf(-1)
		for budget := 10; budget < 300; budget += 30 {
			f := search(t, m.problem(t).Problem, m.run, budget, 2)
			if f.Score < last {
				t.Errorf("%s: %v with %d evaluations, %v with fewer", m.name, f.Score, budget, last)
			}
			last = f.Score
		}
	}
}
