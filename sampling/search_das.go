package sampling

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// DASOptions are the settings of [DAS]. The zero value has the defaults.
type DASOptions struct {
	Particles int // that run at a time, 0 means 4, or as many as the budget pays for
	// Temperature τ is the difference in score that is worth a factor of e; α in the paper, which takes 0.01 for CLIP, 0.005 for
	// the aesthetic predictor and 1e-4 for PickScore. 0 means 0.01, +Inf weighs all the same.
	Temperature float64
	// Gamma tempers: 1/τ is multiplied by min((1+γ)^(100·share of the run)−1, 1), and by 1 at the end. 0 means 0.008.
	Gamma float64
	// Threshold is the effective sample size, as a share of the particles, below which they are resampled. 0 means 0.5.
	Threshold float64
	// Strength is the share of the derivative that steps follow: 0 means 1, a negative number none. Then no derivative is taken,
	// and what is left is a tempered particle filter that looks at every step. The law at the end is the same.
	Strength float64
	// Limit bounds the root mean square of a move in units of the step's noise: 0 means 0.2, a negative number no bound. A move of 1
	// doubles the variance of what is added in the step, and few-step models were never trained on that.
	Limit float64
	// OnEnd, if set, is given the finished particles of every run with their weights, which sum to 1: a weighted sample of the
	// sampler's law times exp(score/τ).
	OnEnd func(latents []float32, weights []float64)
}

// DAS is a particle filter whose particles climb: each step's mean is moved by σ²·λ/τ times the derivative of the score of the
// predicted clean latents, λ growing from 0 to 1, and weights make up for the move, so that the law at the end is exactly that of
// [SMC]. Resampling takes along everything that belongs to a particle: latents, prediction, derivative and twist (the published
// program leaves the last two behind). The best finished picture counts, by its score and not by its weight. The sampler must add
// noise. A step costs twice what a plain one does, or the same without Gradients.Network.
// (Kim, Kim, Park 2025, Test-time Alignment of Diffusion Models without Reward Over-optimization, arXiv 2501.05803.)
func DAS(g Gradients, o DASOptions) Method {
	o.Temperature, o.Gamma, o.Threshold = orElse(o.Temperature, 0.01), orElse(o.Gamma, 0.008), orElse(o.Threshold, 0.5)
	o.Strength, o.Limit = max(orElse(o.Strength, 1), 0), orElse(o.Limit, 0.2)
	o.Particles = orElse(o.Particles, 4)
	return func(ctx context.Context, s *Search) error {
		if err := errors.Join(o.check(), g.check("DAS", false), s.needNoise("DAS")); err != nil {
			return err
		}
		return s.runs(func(first bool) error {
			cost := s.Cost()
			if o.Strength > 0 {
				cost *= g.passes()
			}
			n := min(s.Left()/cost, o.Particles)
			if n == 0 {
				return s.plain(ctx, first)
			}
			return s.das(ctx, g, &o, n, first)
		})
	}
}

func (o *DASOptions) check() error {
	if !(o.Temperature > 0) {
		return fmt.Errorf("sampling: DAS: the temperature %v is not above 0", o.Temperature)
	}
	return checkSpans("DAS", span{"particles", float64(o.Particles), 1, math.MaxFloat64}, span{"tempering rate", o.Gamma, 0, math.MaxFloat64},
		span{"threshold", o.Threshold, 0, 1}, span{"strength", o.Strength, 0, math.MaxFloat64})
}

// lambda is the tempered 1/τ before step i of n, and at the end for i = n.
func (o *DASOptions) lambda(i, n int) float64 {
	if i == n {
		return 1 / o.Temperature
	}
	return min(math.Pow(1+o.Gamma, 100*float64(i)/float64(n))-1, 1) / o.Temperature
}

// twisted are particles with what belongs to each: the logarithm of its weight, and the part λr of it that the next score replaces.
type twisted struct {
	logs, twist []float64
}

// meet replaces the twists by those of new scores; NaN ends a line.
func (p *twisted) meet(lambda float64, scores []float64) {
	for i, r := range scores {
		if math.IsNaN(r) {
			p.logs[i] = math.Inf(-1)
			continue
		}
		p.logs[i] += lambda*r - p.twist[i]
		p.twist[i] = lambda * r
	}
}

// das is one run of n particles.
func (s *Search) das(ctx context.Context, g Gradients, o *DASOptions, n int, first bool) error {
	st, err := s.Start(s.draw(n), n)
	if err != nil {
		return err
	}
	source, steps := s.stepNoise(first), s.Plan.Len()
	p := &twisted{make([]float64, n), make([]float64, n)}
	for st.Index < steps {
		a, err := s.dasLook(ctx, g, o, st)
		if err != nil {
			return err
		}
		p.meet(o.lambda(st.Index, steps), a.Scores)
		if a, err = s.dasResample(o, a, p); err != nil || a.Images == 0 {
			return err
		}
		if st, err = s.dasStep(o, a, p, source); err != nil {
			return err
		}
	}
	scores, err := s.endRun(ctx, st.X, nil, n, false)
	if err != nil {
		return err
	}
	p.meet(o.lambda(steps, steps), scores)
	if weights := normalised(p.logs); weights != nil && o.OnEnd != nil {
		o.OnEnd(st.X, weights)
	}
	return nil
}

// dasLook looks ahead, without derivatives where they are not followed.
func (s *Search) dasLook(ctx context.Context, g Gradients, o *DASOptions, st State) (Ahead, error) {
	if o.Strength > 0 {
		return s.LookAhead(ctx, g, st)
	}
	seen, err := s.Look(ctx, st)
	if err != nil {
		return Ahead{}, err
	}
	scores, err := s.Score(ctx, seen.Clean, st.Images)
	return Ahead{Seen: seen, Scores: scores, Gradient: make([]float64, len(st.X))}, err
}

// dasResample resamples the particles if their weights have become unequal and noise to come will part the copies. The result has no
// image when none is left alive.
func (s *Search) dasResample(o *DASOptions, a Ahead, p *twisted) (Ahead, error) {
	weights := normalised(p.logs)
	if weights == nil {
		return Ahead{}, nil
	}
	n := len(weights)
	if effective(weights) >= o.Threshold*float64(n) || !s.noisy(a.Index, s.Plan.Len()) {
		return a, nil
	}
	parents := systematic(weights, n, s.Uniform())
	twist := make([]float64, n)
	for i, k := range parents {
		twist[i] = p.twist[k]
	}
	p.twist = twist
	clear(p.logs)
	return a.Pick(parents...)
}

// Pick is [Seen.Pick] with scores and derivatives.
func (a Ahead) Pick(images ...int) (Ahead, error) {
	seen, err := a.Seen.Pick(images...)
	if err != nil {
		return Ahead{}, err
	}
	out, size := Ahead{Seen: seen}, len(a.X)/a.Images
	for _, k := range images {
		out.Scores = append(out.Scores, a.Scores[k])
		out.Gradient = append(out.Gradient, a.Gradient[k*size:(k+1)*size]...)
	}
	return out, nil
}

// dasStep does the step, moves the particles, and weighs them by the density of the step without the move over that with it.
func (s *Search) dasStep(o *DASOptions, a Ahead, p *twisted, source Noise) (State, error) {
	var drawn []float32
	next, err := s.Take(a.Seen, func(dst []float32, sigma, sigmaNext float64) {
		source(dst, sigma, sigmaNext)
		drawn = dst
	})
	if err != nil {
		return State{}, err
	}
	row, err := s.Plan.Row(a.Index, a.Calls)
	if err != nil || row.Noise == 0 {
		return next, err
	}
	scale := o.Strength * o.lambda(a.Index+1, s.Plan.Len())
	for k := range a.Images {
		at, end := k*s.Size, (k+1)*s.Size
		for i, m := range varianceMove(a.Gradient[at:end], scale, row.Noise, o.Limit) {
			next.X[at+i] = float32(float64(next.X[at+i]) + m)
			m /= row.Noise // now in deviations: log N(z+m) − log N(z)
			p.logs[k] -= m * (float64(drawn[at+i]) + m/2)
		}
	}
	return next, nil
}
