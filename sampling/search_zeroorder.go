package sampling

import (
	"context"
	"math"
)

// ZeroOrderOptions are the settings of [ZeroOrder]. Zero values mean the defaults.
type ZeroOrderOptions struct {
	// Cosine is the cosine of the angle between the pivot and each neighbour, above 0 to 1. Default 0.95, the value of the public
	// implementation sayakpaul/tt-scale-flux.
	Cosine float64
	// Neighbours is how many neighbours a round tries. Default 4 (same source).
	Neighbours int
	// First is how many fresh noises a climb starts from the best of. Default 1: from the noise of the seed.
	First int
	// Restart puts fresh noise in the pivot's place when no neighbour is better, as that implementation does; otherwise the pivot
	// stays and other neighbours are tried, as in the paper, unless it could not be scored either.
	Restart bool
}

// ZeroOrder climbs from the seed's noise: it tries neighbours that are exactly as long as the pivot and stand at one angle to it,
// and goes on from the best of them if that is better. A round costs Neighbours pictures, and one more after a restart. (Ma et al.
// 2025, arXiv 2501.09732, section 3.1, zero-order search.)
func ZeroOrder(o ZeroOrderOptions) Method {
	o.Cosine, o.Neighbours, o.First = orElse(o.Cosine, 0.95), orElse(o.Neighbours, 4), orElse(o.First, 1)
	return func(ctx context.Context, s *Search) error {
		err := checkSpans(
			"zero-order search",
			span{"the cosine", o.Cosine, 0, 1},
			span{"the number of neighbours", float64(o.Neighbours), 1, 1 << 20},
			span{"the number of first noises", float64(o.First), 1, 1 << 20},
		)
		if err != nil {
			return err
		}
		var pivot []float32
		score := math.NaN()
		for {
			var group []float32
			if pivot == nil && o.First > 1 {
				if pivot, score, err = s.bestFresh(ctx, o.First); err != nil {
					return err
				}
			} else if pivot == nil {
				pivot, score = s.fresh(), math.NaN()
				group = append(group, pivot...) // a new pivot is a candidate as well
			}
			for range o.Neighbours {
				group = append(group, s.neighbour(pivot, o.Cosine)...)
			}
			scores, err := s.Evaluate(ctx, group, len(group)/s.Size)
			if err != nil {
				return err
			}
			if n := len(scores) - o.Neighbours; n > 0 {
				score, scores, group = scores[0], scores[n:], group[n*s.Size:]
			}
			if k := best(scores); better(scores[k], score) {
				pivot, score = group[k*s.Size:(k+1)*s.Size], scores[k]
			} else if o.Restart || math.IsNaN(score) { // where nothing can be scored there is nothing to climb
				pivot = nil
			}
		}
	}
}

// bestFresh is the best of n fresh noises.
func (s *Search) bestFresh(ctx context.Context, n int) (noise []float32, score float64, err error) {
	group := make([]float32, 0, n*s.Size)
	for range n {
		group = append(group, s.fresh()...)
	}
	scores, err := s.Evaluate(ctx, group, n)
	if err != nil {
		return nil, 0, err
	}
	k := best(scores)
	return group[k*s.Size : (k+1)*s.Size], scores[k], nil
}

// neighbour is |x|·(λ·u + √(1−λ²)·w), with u = x/|x| and w a random direction at a right angle to it.
func (s *Search) neighbour(x []float32, lambda float64) []float32 {
	w := s.fresh()
	square := squared(x)
	along := 0.0
	if square > 0 {
		along = dot(x, w) / square
	}
	rest := 0.0
	for i, v := range w {
		r := float64(v) - along*float64(x[i])
		rest += r * r
	}
	y := make([]float32, len(x))
	if rest <= 1e-12*squared(w) { // one number has no direction beside it; more numbers never come here
		copy(y, x)
		return y
	}
	side := math.Sqrt((1 - lambda*lambda) * square / rest)
	for i, v := range x {
		y[i] = float32(lambda*float64(v) + side*(float64(w[i])-along*float64(v)))
	}
	return y
}
