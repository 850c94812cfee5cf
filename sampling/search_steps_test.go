package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// gauss is a problem in closed form: every number of a picture is N(0, 1) and the network is the best there is, so that all steps of
// a sampler are linear. The score is the first number of the picture.
type gauss struct {
	Problem
	variance float64             // of the sampler's finished pictures; a few steps do not reach 1 exactly
	slope    map[float64]float64 // of the network's answer, by timestep
}

func newGauss(t testing.TB, sampler string, steps int) *gauss {
	return newGaussEta(t, sampler, steps, 1)
}

func newGaussEta(t testing.TB, sampler string, steps int, eta float64) *gauss {
	t.Helper()
	cfg, err := NewConfig(sampler)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClipSample = false
	sched, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sched.Plan(steps, &PlanOptions{Eta: eta})
	if err != nil {
		t.Fatal(err)
	}
	p := &gauss{slope: map[float64]float64{}}
	for i, ts := range plan.Timesteps {
		a, b := plan.Level(i)
		p.slope[ts] = b / math.Hypot(a, b)
	}
	p.Problem = Problem{
		Plan: plan, Size: toySize, NFE: 2, Batch: 64,
		Model: func(_ context.Context, dst, x []float32, ts float64) error {
			for i, v := range x {
				dst[i] = float32(p.slope[ts] * float64(v))
			}
			return nil
		},
		Verify: firstNumber,
	}
	p.variance = p.spread(t, plan.InitNoiseSigma*plan.InitNoiseSigma, 0, plan.Len())
	return p
}

// spread is what the variance of latents becomes between two steps, for samplers without a memory.
func (p *gauss) spread(t testing.TB, variance float64, from, to int) float64 {
	for i := from; i < to; i++ {
		r, err := p.Plan.Row(i, i)
		if err != nil {
			t.Fatal(err)
		}
		out := p.slope[p.Plan.Timesteps[i]] * p.Plan.InputScale(i)
		c := r.X + r.Out*out + r.Data*(r.DataX+r.DataOut*out)
		variance = c*c*variance + r.Noise*r.Noise
	}
	return variance
}

func firstNumber(_ context.Context, x []float32, images int) ([]float64, error) {
	out := make([]float64, images)
	for i := range out {
		out[i] = float64(x[i*toySize])
	}
	return out, nil
}

func lastNumber(ctx context.Context, x []float32, images int) ([]float64, error) {
	return firstNumber(ctx, x[toySize-1:], images)
}

// meanOf is the mean of independent results and its standard error.
func meanOf(x []float64) (mean, se float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		se += (v - mean) * (v - mean)
	}
	n := float64(len(x))
	return mean, math.Sqrt(se / (n - 1) / n)
}

// steered are the methods of this package that look at previews.
var steered = []struct {
	name  string
	noisy bool // needs noise in the steps
	new   func() Method
}{
	{"smc", true, func() Method { return SMC(SMCOptions{}) }},
	{"smc of 3", true, func() Method { return SMC(SMCOptions{Particles: 3, Temperature: 0.3, Potential: PotentialMax}) }},
	{"svdd", true, func() Method { return SVDD(SVDDOptions{}) }},
	{"svdd of 2", true, func() Method { return SVDD(SVDDOptions{Children: 2, Every: 3, Temperature: 0.5}) }},
	{"paths", false, func() Method { return SearchPaths(PathsOptions{}) }},
	{"3 paths", false, func() Method {
		return SearchPaths(PathsOptions{Paths: 3, Copies: 2, Start: 0.4, Forward: 0.3, Backward: 0.6})
	}},
	{"rbf", true, func() Method { return RBF(RBFOptions{}) }},
	{"rbf from 4", true, func() Method { return RBF(RBFOptions{Starts: 4}) }},
	{"parm", false, func() Method { return PARM(PARMOptions{}) }},
	{"parm with verifiers", false, func() Method {
		return PARM(PARMOptions{Candidates: 5, Checks: []float64{0.3, 0.5, 0.8}, Clear: lastNumber, ClearAt: 0.1, Potential: firstNumber, PotentialAt: 0.2})
	}},
}

// A budget for one picture gives the seed's, whatever the method.
func TestSteered_plain(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newGauss(t, sampler, 6)
		want := search(t, p.Problem, RandomSearch(), 12, 5)
		for _, m := range steered {
			got := search(t, p.Problem, m.new(), 12, 5)
			if !slices.Equal(got.Latents, want.Latents) || got.First != want.First || got.NFE != 12 {
				t.Errorf("%s, %s: %v of %d evaluations, plain sampling gives %v", sampler, m.name, got.Latents, got.NFE, want.Latents)
			}
		}
	}
}

// The budget is used up to less than one picture, never exceeded, always gives a picture, and more than plain sampling's on average.
func TestSteered_budget(t *testing.T) {
	p := newGaussEta(t, "ddim", 6, 0.5)
	for _, m := range steered {
		var scores []float64
		for budget := 12; budget < 160; budget += 7 {
			f := search(t, p.Problem, m.new(), budget, uint64(budget))
			if f.Latents == nil || budget-f.NFE >= 12 {
				t.Errorf("%s: %d evaluations of %d", m.name, f.NFE, budget)
			}
			if float64(f.Latents[0]) != f.Score {
				t.Errorf("%s: the picture scores %v, not %v", m.name, f.Latents[0], f.Score)
			}
			scores = append(scores, f.Score)
		}
		if mean, se := meanOf(scores); !(mean >= 3*se) {
			t.Errorf("%s: pictures score %v ± %v; plain ones 0", m.name, mean, se)
		}
	}
}

// How images are batched changes nothing.
func TestSteered_batch(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a"} {
		for _, m := range steered {
			var want Found
			for _, batch := range []int{1, 2, 5, 64} {
				p := newGauss(t, sampler, 6)
				p.Batch = batch
				got := search(t, p.Problem, m.new(), 151, 9)
				if batch == 1 {
					want = got
				}
				if !slices.Equal(got.Latents, want.Latents) || got.NFE != want.NFE || got.Calls != want.Calls {
					t.Errorf("%s, %s: batches of %d give %v with %d evaluations, of 1 %v with %d",
						sampler, m.name, batch, got.Latents, got.NFE, want.Latents, want.NFE)
				}
			}
		}
	}
}

// What cannot be scored is never kept; when nothing can, that is the error.
func TestSteered_drops(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	for _, m := range steered {
		q := p.Problem
		q.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
			out, err := firstNumber(ctx, x, images)
			for i, v := range out {
				if v > 0.3 {
					out[i] = math.NaN()
				}
			}
			return out, err
		}
		for seed := range uint64(20) {
			f, err := RunSearch(t.Context(), q, m.new(), SearchOptions{Budget: 150, Seed: seed})
			if err != nil && !errors.Is(err, ErrNoScore) || err == nil && (f.Score > 0.3 || f.Latents == nil) || f.NFE > 150 {
				t.Errorf("%s, seed %d: %+v, %v", m.name, seed, f, err)
			}
		}
		q.Verify = func(_ context.Context, _ []float32, images int) ([]float64, error) {
			return slices.Repeat([]float64{math.NaN()}, images), nil
		}
		f, err := RunSearch(t.Context(), q, m.new(), SearchOptions{Budget: 150})
		if !errors.Is(err, ErrNoScore) || f.Latents != nil || f.Dropped == 0 || f.Dropped > f.Calls {
			t.Errorf("%s: nothing scored: %+v, %v", m.name, f, err)
		}
	}
}

// An interrupted search keeps what was finished, and a failure of the network or the verifier is told.
func TestSteered_stops(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	broken := errors.New("down")
	for _, m := range steered {
		plain, err := RunSearch(t.Context(), p.Problem, m.new(), SearchOptions{Budget: 4000})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f, err := RunSearch(ctx, p.Problem, m.new(), SearchOptions{Budget: 4000, OnPoint: func(pt Point) error {
			if !math.IsInf(pt.Best, -1) {
				cancel()
			}
			return nil
		}})
		if f.Latents == nil || err != nil && !errors.Is(err, context.Canceled) || err == nil && f.NFE != plain.NFE {
			t.Errorf("%s, interrupted: %v, %v", m.name, f.Latents, err)
		}
		q := p.Problem
		q.Verify = func(context.Context, []float32, int) ([]float64, error) { return nil, broken }
		if _, err := RunSearch(t.Context(), q, m.new(), SearchOptions{Budget: 150}); !errors.Is(err, broken) {
			t.Errorf("%s: a verifier that fails: %v", m.name, err)
		}
		q = p.Problem
		q.Model = func(context.Context, []float32, []float32, float64) error { return broken }
		if _, err := RunSearch(t.Context(), q, m.new(), SearchOptions{Budget: 150}); !errors.Is(err, broken) ||
			!strings.Contains(err.Error(), "step 1 of 6") {
			t.Errorf("%s: a network that fails: %v", m.name, err)
		}
	}
}

// Methods that branch by noise say so where there is none; the others go on.
func TestSteered_deterministic(t *testing.T) {
	p := newToy(t, 5)
	p.Batch = 3
	for _, m := range steered {
		_, err := RunSearch(t.Context(), p.Problem, m.new(), SearchOptions{Budget: 100})
		if m.noisy && (err == nil || !strings.Contains(err.Error(), "eta")) || !m.noisy && err != nil {
			t.Errorf("%s on DDIM with eta 0: %v", m.name, err)
		}
	}
}

func TestMethods_badOptions(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	for i, m := range []Method{
		SMC(SMCOptions{Particles: -1}),
		SMC(SMCOptions{Temperature: -1}),
		SMC(SMCOptions{Temperature: math.NaN()}),
		SMC(SMCOptions{Potential: "sum"}),
		SMC(SMCOptions{Threshold: 1.1}),
		SMC(SMCOptions{Gamma: -0.1}),
		SMC(SMCOptions{Checks: []float64{0.5, 1}}),
		SMC(SMCOptions{Checks: []float64{math.NaN()}}),
		SVDD(SVDDOptions{Children: -1}),
		SVDD(SVDDOptions{Every: -1}),
		SVDD(SVDDOptions{Temperature: math.NaN()}),
		SearchPaths(PathsOptions{Paths: -1}),
		SearchPaths(PathsOptions{Copies: -1}),
		SearchPaths(PathsOptions{Start: 1.5}),
		SearchPaths(PathsOptions{Forward: 0.3, Backward: 0.3}),
		SearchPaths(PathsOptions{Backward: math.NaN()}),
		RBF(RBFOptions{Starts: -1}),
		PARM(PARMOptions{Candidates: -1}),
		PARM(PARMOptions{Keep: 1.5}),
		PARM(PARMOptions{ClearAt: math.NaN()}),
		PARM(PARMOptions{Checks: []float64{-0.5}}),
	} {
		if f, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 100}); err == nil || f.NFE != 0 {
			t.Errorf("options %d were taken: %+v", i, f)
		}
	}
}

func TestSearch_stops(t *testing.T) {
	for _, c := range []struct {
		steps  int
		shares []float64
		want   []int
	}{
		{10, []float64{0.8, 0.2, 0.21}, []int{2, 8}},
		{10, []float64{0.01, 0.99}, []int{1, 9}},
		{1, []float64{0.5}, nil},
	} {
		s := &Search{Problem: newGauss(t, "ddim", c.steps).Problem}
		if got, err := s.stops(c.shares); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v of %d steps: %v, %v", c.shares, c.steps, got, err)
		}
	}
}

// Looking and then stepping is the step of the plan, and what was picked goes on as it would have alone.
func TestSearch_look(t *testing.T) {
	for _, sampler := range []string{"dpmpp-2m-sde", "euler-a", "pndm"} {
		p := newGauss(t, sampler, 6)
		s := &Search{Problem: p.Problem, budget: 1000}
		noise := make([]float32, 3*toySize)
		NewNoise(1)(noise, 0, 0)
		st, err := s.Start(noise, 3)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Sample(t.Context(), p.Plan, noise[toySize:], 2, p.Model, &Options{Noise: NewNoise(2, 3)})
		if err != nil {
			t.Fatal(err)
		}
		if st, err = st.Select(0, 2, 1); err != nil {
			t.Fatal(err)
		}
		source := NewNoise(2, 3)
		for i := 0; i < p.Plan.Len(); i++ {
			seen, err := s.Look(t.Context(), st)
			if err == nil && i == 0 {
				seen, err = seen.Pick(2, 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			if st, err = s.Take(seen, source); err != nil {
				t.Fatal(err)
			}
		}
		if n := 2 * (3 + 2*(p.Plan.Len()-1)); !slices.Equal(st.X, want) || s.found.NFE != n {
			t.Errorf("%s: %v with %d evaluations, not %v with %d", sampler, st.X, s.found.NFE, want, n)
		}
	}
	s := &Search{Problem: newGauss(t, "ddim", 6).Problem, budget: 5}
	st, _ := s.Start(make([]float32, 3*toySize), 3)
	if _, err := s.Look(t.Context(), st); !errors.Is(err, errSpent) || s.found.NFE != 0 {
		t.Errorf("three images on a budget for two: %v", err)
	}
	if _, err := (Seen{State: st}).Pick(3); err == nil {
		t.Error("image 3 of 3 was picked")
	}
}
