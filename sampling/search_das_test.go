package sampling

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// slopes gives the derivatives of the Gaussian problem, whose network is linear.
func (p *gauss) slopes() Gradients {
	slope := map[float64]float64{}
	for i, ts := range p.Plan.Timesteps {
		a, b := p.Plan.Level(i)
		slope[ts] = b / math.Hypot(a, b)
	}
	return Gradients{
		Verify: firstSlope,
		Network: func(ctx context.Context, output, x []float32, ts float64, cotangent func() ([]float32, error)) ([]float32, error) {
			if err := p.Model(ctx, output, x, ts); err != nil {
				return nil, err
			}
			cot, err := cotangent()
			if err != nil {
				return nil, err
			}
			return moved(make([]float32, len(x)), slope[ts], wide(cot)), nil
		},
	}
}

// On the Gaussian problem exp(λx) moves the sampler's law N(0, v) to N(λv, v). The weighted particles say so whether the proposal
// follows the full derivative, the cheap one or none, bounded or not; and the better the proposal, the more equal the weights.
func TestDAS_gauss(t *testing.T) {
	const lambda, particles, runs = 0.8, 200, 24
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newGauss(t, sampler, 8)
		full := p.slopes()
		equal := map[string]float64{}
		for name, c := range map[string]struct {
			g Gradients
			o DASOptions
		}{
			"full": {full, DASOptions{}}, "cheap": {Gradients{Verify: full.Verify}, DASOptions{Limit: 0.1}},
			"bounded": {full, DASOptions{Limit: 0.05, Gamma: 0.02}}, "twice": {full, DASOptions{Strength: 2, Limit: -1, Threshold: 0.9}},
			"none":                {Gradients{Verify: full.Verify}, DASOptions{Strength: -1, Threshold: 0.8}},
			"full, not resampled": {full, DASOptions{Threshold: 1e-9}}, "none, not resampled": {full, DASOptions{Strength: -1, Threshold: 1e-9}},
		} {
			c.o.Temperature, c.o.Particles = 1/lambda, particles
			var means, squares, sizes []float64
			for seed := range uint64(runs) {
				c.o.OnEnd = func(x []float32, weights []float64) {
					mean, square := 0.0, 0.0
					for k, w := range weights {
						v := float64(x[k*toySize])
						mean += w * v
						square += w * v * v
					}
					means, squares, sizes = append(means, mean), append(squares, square), append(sizes, effective(weights))
				}
				search(t, p.Problem, DAS(c.g, c.o), particles*32, seed)
			}
			want := lambda * p.variance
			if mean, se := meanOf(means); math.Abs(mean-want) > 3.5*se || se > 0.1*want || len(means) < runs {
				t.Errorf("%s, %s: mean %v ± %v, not %v", sampler, name, mean, se, want)
			}
			want = p.variance + want*want
			if mean, se := meanOf(squares); math.Abs(mean-want) > 3.5*se {
				t.Errorf("%s, %s: second moment %v ± %v, not %v", sampler, name, mean, se, want)
			}
			equal[name], _ = meanOf(sizes)
		}
		if equal["full, not resampled"] < 1.1*equal["none, not resampled"] {
			t.Errorf("%s: effective sizes %v; following the derivative does not help", sampler, equal)
		}
	}
}

// Without a weight on the score there is no steering, and as the derivative's share goes to 0, DAS becomes the filter without one.
func TestDAS_limits(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	g := p.slopes()
	ends := func(o DASOptions) (latents []float32, weights []float64) {
		o.Particles = 5
		o.OnEnd = func(x []float32, w []float64) {
			if latents == nil { // the run without a derivative is cheaper, and is followed by another
				latents, weights = slices.Clone(x), slices.Clone(w)
			}
		}
		search(t, p.Problem, DAS(g, o), 5*24, 3)
		return latents, weights
	}
	without := DASOptions{Temperature: math.Inf(1), Strength: -1}
	plain, _ := ends(without)
	steered, weights := ends(DASOptions{Temperature: math.Inf(1)})
	if !slices.Equal(plain, steered) || slices.Min(weights) != slices.Max(weights) {
		t.Errorf("not steered, weights %v: particles %v, plain ones %v", weights, steered, plain)
	}
	for _, temperature := range []float64{0.05, 0.5} {
		a, wa := ends(DASOptions{Temperature: temperature, Strength: -1})
		b, wb := ends(DASOptions{Temperature: temperature, Strength: 1e-9})
		c, _ := ends(DASOptions{Temperature: temperature})
		if slices.Equal(a, c) {
			t.Errorf("temperature %v: the derivative changes nothing", temperature)
		}
		for i := range a {
			if math.Abs(float64(a[i]-b[i])) > 1e-5 {
				t.Fatalf("temperature %v: number %d is %v with hardly any derivative, %v without", temperature, i, b[i], a[i])
			}
		}
		for i := range wa {
			if math.Abs(wa[i]-wb[i]) > 1e-4 {
				t.Errorf("temperature %v: weight %d is %v with hardly any derivative, %v without", temperature, i, wb[i], wa[i])
			}
		}
	}
}

// Moves keep their size: of size variance at most one deviation of the step's noise in the mean, or Limit of it; normalised, the
// share of the sampler's own step; plain, the derivative itself.
func TestRewardGuidance_move(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	g := p.slopes()
	steep := g
	steep.Verify = func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
		scores, slope, err := g.Verify(ctx, x, images)
		return scores, moved(make([]float32, len(x)), 1e4, wide(slope)), err
	}
	s := searchOf(p.Problem, 1<<20, 2)
	st, err := s.Start(s.draw(1), 1)
	if err != nil {
		t.Fatal(err)
	}
	silent := func(dst []float32, _, _ float64) { clear(dst) }
	for st.Index < p.Plan.Len() {
		row, err := p.Plan.Row(st.Index, st.Calls)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.LookAhead(t.Context(), g, st)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := s.Take(a.Seen, silent)
		if err != nil {
			t.Fatal(err)
		}
		length, one := lengthOf(a.Gradient), row.Noise*math.Sqrt(toySize)
		for name, c := range map[string]struct {
			g    Gradients
			o    GuidanceOptions
			want float64
		}{
			"plain":               {g, GuidanceOptions{Size: GuidePlain, Scale: 0.3}, 0.3 * length},
			"normalised":          {g, GuidanceOptions{Size: GuideNormalised, Scale: 0.25}, 0.25 * distance(plain.X, st.X)},
			"normalised, steep":   {steep, GuidanceOptions{Size: GuideNormalised, Scale: 0.25}, 0.25 * distance(plain.X, st.X)},
			"variance":            {g, GuidanceOptions{Size: GuideVariance, Scale: 0.5, Limit: 1}, min(0.5*row.Noise*row.Noise*length, one)},
			"variance, steep":     {steep, GuidanceOptions{Size: GuideVariance, Scale: 0.5, Limit: 1}, one},
			"variance, half":      {steep, GuidanceOptions{Size: GuideVariance, Scale: 0.5, Limit: 0.5}, one / 2},
			"variance, unbounded": {steep, GuidanceOptions{Size: GuideVariance, Scale: 0.5, Limit: -1}, 0.5e4 * row.Noise * row.Noise * length},
		} {
			c.o.End = 1
			next, err := s.guidedStep(t.Context(), c.g, &c.o, st, silent)
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(next.X, plain.X); math.Abs(d-c.want) > 1e-4*(1+c.want) || next.X[0] < plain.X[0] {
				t.Errorf("%s, step %d: moved by %v, not %v", name, st.Index, d, c.want)
			}
		}
		st = plain
	}
}

// guides are methods that steer by a derivative.
func guides(g Gradients) map[string]Method {
	cheap := Gradients{Verify: g.Verify}
	return map[string]Method{
		"plain": RewardGuidance(g, GuidanceOptions{Size: GuidePlain}), "normalised": RewardGuidance(cheap, GuidanceOptions{}),
		"variance": RewardGuidance(g, GuidanceOptions{Size: GuideVariance, Begin: 0.3, End: 0.9}),
		"das":      DAS(g, DASOptions{Temperature: 0.3}), "das, cheap": DAS(cheap, DASOptions{Temperature: 0.3, Particles: 2}),
	}
}

// Pictures are better than plain ones on average, a budget for one plain picture gives the seed's (the cheap form costs no more), and
// the budget is kept and the batch does not matter.
func TestGuides(t *testing.T) {
	for _, sampler := range []string{"ddim", "euler-a"} {
		p := newGauss(t, sampler, 6)
		g := p.slopes()
		plain := search(t, p.Problem, RandomSearch(), 12, 5)
		for name, m := range guides(g) {
			got := search(t, p.Problem, m, 12, 5)
			if cheap := name == "normalised" || name == "das, cheap"; got.NFE != 12 || !cheap && !slices.Equal(got.Latents, plain.Latents) {
				t.Errorf("%s, %s: %v of %d evaluations, plain sampling gives %v", sampler, name, got.Latents, got.NFE, plain.Latents)
			}
			var scores []float64
			for seed := range uint64(30) {
				f := search(t, p.Problem, m, 24, seed)
				q := p.Problem
				q.Batch = 1
				if again := search(t, q, m, 24, seed); !slices.Equal(again.Latents, f.Latents) || again.NFE != f.NFE {
					t.Errorf("%s, %s: in batches of 1 another picture", sampler, name)
				}
				scores = append(scores, f.Score-search(t, p.Problem, RandomSearch(), 12, seed).Score)
			}
			if mean, se := meanOf(scores); mean < 4*se {
				t.Errorf("%s, %s: pictures score %v ± %v more than plain ones", sampler, name, mean, se)
			}
		}
	}
}

// What cannot be scored is not followed and not kept, and failures are told.
func TestGuides_drops(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	g := p.slopes()
	holes := g
	holes.Verify = func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
		scores, slope, err := g.Verify(ctx, x, images)
		for i, v := range scores {
			if v > 0.5 {
				scores[i], slope[i*toySize] = math.NaN(), float32(math.NaN())
			}
		}
		return scores, slope, err
	}
	q := p.Problem
	q.Verify = func(ctx context.Context, x []float32, images int) ([]float64, error) {
		scores, _, err := holes.Verify(ctx, x, images)
		return scores, err
	}
	for name, m := range guides(holes) {
		dropped := 0
		for seed := range uint64(20) {
			f, err := RunSearch(t.Context(), q, m, SearchOptions{Budget: 150, Seed: seed})
			if err != nil && !errors.Is(err, ErrNoScore) || err == nil && (f.Score > 0.5 || f.Latents == nil) || f.NFE > 150 {
				t.Errorf("%s, seed %d: %+v, %v", name, seed, f, err)
			}
			dropped += f.Dropped
		}
		if dropped == 0 {
			t.Errorf("%s: nothing was dropped", name)
		}
	}
	down := errors.New("down")
	bad := Gradients{Verify: func(context.Context, []float32, int) ([]float64, []float32, error) { return nil, nil, down }, Network: g.Network}
	for name, m := range guides(bad) {
		if _, err := RunSearch(t.Context(), p.Problem, m, SearchOptions{Budget: 150}); !errors.Is(err, down) {
			t.Errorf("%s: a verifier that fails: %v", name, err)
		}
	}
}

func TestGuides_settings(t *testing.T) {
	p := newGauss(t, "ddim", 6)
	g := p.slopes()
	still := newToy(t, 5).Problem
	for name, c := range map[string]struct {
		p Problem
		m Method
	}{
		"size": {p.Problem, RewardGuidance(g, GuidanceOptions{Size: "big"})}, "end": {p.Problem, RewardGuidance(g, GuidanceOptions{End: 1.5})},
		"begin": {p.Problem, RewardGuidance(g, GuidanceOptions{Begin: 0.8, End: 0.5})}, "no verifier": {p.Problem, RewardGuidance(Gradients{}, GuidanceOptions{})},
		"variance without noise": {still, RewardGuidance(g, GuidanceOptions{Size: GuideVariance})}, "das without noise": {still, DAS(g, DASOptions{})},
		"particles": {p.Problem, DAS(g, DASOptions{Particles: -1})}, "temperature": {p.Problem, DAS(g, DASOptions{Temperature: -1})},
		"gamma": {p.Problem, DAS(g, DASOptions{Gamma: -1})}, "threshold": {p.Problem, DAS(g, DASOptions{Threshold: 2})},
		"das without verifier": {p.Problem, DAS(Gradients{Network: g.Network}, DASOptions{})},
	} {
		if f, err := RunSearch(t.Context(), c.p, c.m, SearchOptions{Budget: 400}); err == nil || errors.Is(err, ErrNoScore) || f.NFE != 0 {
			t.Errorf("%s was taken: %v, %d evaluations", name, err, f.NFE)
		}
	}
}
