package sampling

import (
	"context"
	"math"
)

// SPSAOptions are the settings of [SPSA]. Zero values mean the defaults; where no source is named they are this toolkit's own.
type SPSAOptions struct {
	// Pairs is the number of directions that a gradient is estimated from; each costs two pictures. Default 4, as in the variant
	// of DNO for scores without gradients (Tang et al. 2024, arXiv 2405.18881).
	Pairs int
	// Radius is μ, how far each direction is tried, in units of the noise's standard deviation. Default 0.1; DNO has 0.01, which
	// asks more of the precision of network, decoder and score.
	Radius float64
	// Rate is how far an iteration moves, as a share of the noise's length; on the shell it is the angle in radians. The length of
	// the gradient does not matter, so that scores of any scale will do. Default 0.2.
	Rate float64
	// Momentum is the share of the direction that stays for the next iteration, 0 to below 1. Default 0.9, as in ReNO (Eyring et
	// al. 2024, arXiv 2406.04312). It averages estimates, which in many dimensions are noise for the most part. Below 0: none.
	Momentum float64
	// Regulariser, above 0, lets the noise leave its length and draws it back by so much of [NoiseRegulariser]'s gradient in each
	// iteration. At 0 the noise moves on the sphere on which it starts. Up to 1.
	Regulariser float64
}

// SPSA climbs along gradients of the score in the space of initial noises that are estimated from differences,
//
//	ĝ = 1/K · Σₖ (r(ε+μδₖ) − r(ε−μδₖ)) / 2μ · δₖ,   δₖ normal,
//
// so that neither network nor score needs a backward pass. An iteration costs 2K pictures and one of the noise itself. A pair with
// a picture that cannot be scored is left out. The estimate of K directions among d numbers has a cosine of about √(K/(K+d)) to the
// gradient: with latents of pictures and budgets of a few dozen pictures fresh noise does better. (Spall 1992, simultaneous perturbation; with normal directions it is the antithetic
// evolution strategy of Salimans et al. 2017, arXiv 1703.03864.)
func SPSA(o SPSAOptions) Method {
	o.Pairs, o.Radius, o.Rate = orElse(o.Pairs, 4), orElse(o.Radius, 0.1), orElse(o.Rate, 0.2)
	o.Momentum = max(0, orElse(o.Momentum, 0.9))
	return func(ctx context.Context, s *Search) error {
		if err := o.check(); err != nil {
			return err
		}
		noise, direction := s.fresh(), make([]float32, s.Size)
		for {
			gradient, score, err := s.differences(ctx, noise, o.Pairs, o.Radius)
			if err != nil {
				return err
			}
			length := norm(gradient)
			if length == 0 || math.IsInf(length, 0) { // nothing was learnt: other directions next time
				if math.IsNaN(score) {
					noise = s.fresh() // in another place, as nothing can be scored here
				}
				continue
			}
			for i, g := range gradient {
				direction[i] = float32(o.Momentum*float64(direction[i]) + float64(g)/length)
			}
			if o.Regulariser > 0 {
				o.pull(noise, direction)
			} else {
				turn(noise, direction, o.Rate)
			}
		}
	}
}

func (o *SPSAOptions) check() error {
	return checkSpans(
		"spsa",
		span{"the number of pairs", float64(o.Pairs), 1, 1 << 20},
		span{"the radius", o.Radius, 1e-6, 10},
		span{"the rate", o.Rate, 0, math.Pi / 2},
		span{"the momentum", o.Momentum, 0, 1 - 1e-6},
		span{"the regulariser", o.Regulariser, 0, 1},
	)
}

// differences verifies the picture of noise and those around it, and estimates the gradient of the score there, which is zero
// where no pair could be scored.
func (s *Search) differences(ctx context.Context, noise []float32, pairs int, mu float64) (out []float32, score float64, err error) {
	around := append(make([]float32, 0, (1+2*pairs)*s.Size), noise...)
	deltas := make([][]float32, pairs)
	for k := range deltas {
		deltas[k] = s.fresh()
		for _, side := range []float64{mu, -mu} {
			for i, v := range noise {
				around = append(around, float32(float64(v)+side*float64(deltas[k][i])))
			}
		}
	}
	scores, err := s.Evaluate(ctx, around, 1+2*pairs)
	if err != nil {
		return nil, 0, err
	}
	gradient, used := make([]float64, s.Size), 0
	for k, delta := range deltas {
		slope := (scores[1+2*k] - scores[2+2*k]) / (2 * mu)
		if math.IsNaN(slope) {
			continue
		}
		used++
		accumulate(gradient, slope, delta)
	}
	out = make([]float32, s.Size)
	for i, g := range gradient {
		out[i] = float32(g / float64(max(used, 1)))
	}
	return out, scores[0], nil
}

// turn moves x by an angle along the great circle towards a direction, and takes from the direction what is not along the sphere.
func turn(x, direction []float32, angle float64) {
	square := squared(x)
	if square == 0 {
		return
	}
	along := dot(x, direction) / square
	for i, v := range x {
		direction[i] -= float32(along * float64(v))
	}
	side := norm(direction)
	if side <= 1e-6*math.Abs(along)*math.Sqrt(square) || side == 0 {
		return // straight outwards: on the sphere there is nowhere to go
	}
	radius := math.Sqrt(square)
	sin, cos := math.Sincos(angle)
	for i, v := range x {
		x[i] = float32(cos*float64(v) + sin*radius/side*float64(direction[i]))
	}
}

// pull moves x along a direction and then towards the length of noise. The pull is not mixed into the direction, which has a
// length of its own.
func (o *SPSAOptions) pull(x, direction []float32) {
	side := norm(direction)
	if side == 0 {
		return
	}
	step := o.Rate * math.Sqrt(float64(len(x))) / side
	for i := range x {
		x[i] += float32(step * float64(direction[i]))
	}
	back := make([]float32, len(x))
	NoiseRegulariser(back, x)
	for i := range x {
		x[i] -= float32(o.Regulariser * float64(back[i]))
	}
}
