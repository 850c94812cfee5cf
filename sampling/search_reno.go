package sampling

import (
	"context"
	"errors"
	"math"
)

// ReNOOptions are the settings of [ReNO]. Zero means the value of the paper's code, a negative number means none.
type ReNOOptions struct {
	Iterations  int     // from one noise, 50; then the search starts again from fresh noise
	Rate        float64 // of the steps, 5; the paper takes 10 for Hyper-SD
	Momentum    float64 // Nesterov's, 0.9, below 1
	Clip        float64 // largest length of the gradient, 0.1
	Weight      float64 // of the score, 1; the paper: 5 for HPSv2, 1 for ImageReward, 0.01 for CLIP, 0.05 for PickScore
	Regulariser float64 // weight of [NoiseRegulariser], 0.01
}

// ReNO climbs the score by changing the initial noise: gradient descent with Nesterov momentum on the regulariser minus the score,
// the gradient cut to a length. Noise inside the sampler stays the same. It is made for models of one or a few steps: an iteration
// of S steps costs 3·S − 1 evaluations of one picture, 2 for a single step. The best picture on the way counts, by its score without
// the regulariser. (Eyring et al. 2024, arXiv 2406.04312.)
func ReNO(g Gradients, o ReNOOptions) Method {
	o.Iterations = orElse(o.Iterations, 50)
	for setting, standard := range map[*float64]float64{&o.Rate: 5, &o.Momentum: 0.9, &o.Clip: 0.1, &o.Weight: 1, &o.Regulariser: 0.01} {
		*setting = max(orElse(*setting, standard), 0)
	}
	return func(ctx context.Context, s *Search) error {
		const least, most = math.SmallestNonzeroFloat64, math.MaxFloat64
		err := checkSpans("ReNO", span{"iterations", float64(o.Iterations), 1, most}, span{"rate", o.Rate, least, most},
			span{"momentum", o.Momentum, 0, 1 - 1e-9}, span{"clip", o.Clip, 0, most}, span{"weight", o.Weight, least, most},
			span{"regulariser", o.Regulariser, 0, most})
		if err := errors.Join(err, g.check("ReNO", true)); err != nil {
			return err
		}
		inner := s.innerNoises()
		return s.restarts(ctx, func(noise []float32) error {
			velocity, loss, pull := make([]float64, s.Size), make([]float64, s.Size), make([]float32, s.Size)
			for k := range o.Iterations {
				c, err := s.climb(ctx, g, noise, inner)
				if err != nil || math.IsNaN(c.score) {
					return err
				}
				if _, err := s.Finish(ctx, c.latents, noise, 1); err != nil {
					return err
				}
				NoiseRegulariser(pull, noise)
				clear(loss)
				addTimes(loss, o.Regulariser, wide(pull))
				addTimes(loss, -o.Weight, c.initial)
				cut(loss, o.Clip)
				nesterov(noise, velocity, loss, o.Rate, o.Momentum, k == 0)
			}
			return nil
		})
	}
}

// restarts calls run with fresh noise, which it may change, until the budget does not pay for an iteration; what is left goes to plain
// pictures.
func (s *Search) restarts(ctx context.Context, run func(noise []float32) error) error {
	for s.climbCost() <= s.Left() {
		if err := run(s.draw(1)); err != nil && !errors.Is(err, errSpent) {
			return err
		}
	}
	if s.Left() < s.Cost() {
		return nil
	}
	return s.plain(ctx, s.found.NFE == 0)
}

// cut shortens v to length limit as torch's clip_grad_norm_ does; 0 leaves it alone.
func cut(v []float64, limit float64) {
	f := limit / (lengthOf(v) + 1e-6)
	if limit == 0 || f >= 1 {
		return
	}
	for i := range v {
		v[i] *= f
	}
}

// nesterov is one step of torch.optim.SGD(nesterov=True).
func nesterov(x []float32, velocity, gradient []float64, rate, momentum float64, first bool) {
	for i, g := range gradient {
		if first {
			velocity[i] = g
		} else {
			velocity[i] = momentum*velocity[i] + g
		}
		x[i] = float32(float64(x[i]) - rate*(g+momentum*velocity[i]))
	}
}

func lengthOf(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}
