package diffusion

import (
	"context"
	"math"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// Slope scores one picture of a prompt and gives the derivative of the score with respect to every value of it. pixels are
// 3×height×width values around −1 to 1, channel after channel, as the VAE gives them, before they are cut off and rounded.
type Slope func(ctx context.Context, prompt string, pixels []float32, width, height int) (score float64, gradient []float32, err error)

// gradients are what a method that climbs needs. A picture that Slope fails on, or does not finish in time, has no score and is not
// followed.
func (s *search) gradients() sampling.Gradients {
	h, w := s.run.latentSides()
	g := ldm.Guidance{Positive: s.run.cond, ByPositive: 1, Height: h, Width: w}
	network := s.run.p.ldm.Pullback(g)
	if s.run.req.guided() {
		alone := network
		s.run.guide(&g)
		both := s.run.p.ldm.Pullback(g)
		network = func(ctx context.Context, output, x []float32, t float64, cot func() ([]float32, error)) ([]float32, error) {
			if s.run.steps.alone[t] {
				return alone(ctx, output, x, t, cot)
			}
			return both(ctx, output, x, t, cot)
		}
	}
	return sampling.Gradients{
		Verify: func(ctx context.Context, x []float32, images int) ([]float64, []float32, error) {
			return s.run.p.ldm.DecodeGradient(ctx, x, images, h, w, s.slope)
		},
		Network: network,
	}
}

// guide fills in the factors of the predictions that combine adds.
func (r *run) guide(g *ldm.Guidance) {
	scale, negative := r.req.GuidanceScale, true
	g.ByPositive, g.ByNegative, g.Rescale = scale, 1-scale, r.req.GuidanceRescale
	switch {
	case r.req.Guidance == CHATS:
		g.ByPositive, g.ByNegative = 1+scale, -scale
	case r.req.Guidance == PAG && r.req.needsNull():
		g.ByPositive, g.ByPerturbed = scale+r.req.PAGScale, -r.req.PAGScale
	case r.req.Guidance == PAG:
		g.ByPositive, g.ByPerturbed, g.Rescale, negative = 1+r.req.PAGScale, -r.req.PAGScale, 0, false
	}
	if negative {
		g.Negative = r.uncond
	}
}

// slope calls Slope in its time.
func (s *search) slope(ctx context.Context, pixels []float32, width, height int) (float64, []float32, error) {
	outer := ctx
	if s.sr.VerifyTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.sr.VerifyTimeout)
		defer cancel()
	}
	score, gradient, err := s.sr.Slope(ctx, s.run.req.Prompts[0], pixels, width, height)
	if err == nil && len(gradient) != len(pixels) {
		err = badValue("search", len(gradient), "the verifier gave another number of derivatives than the picture has values")
	}
	if err != nil {
		s.last = err
		return math.NaN(), make([]float32, len(pixels)), outer.Err()
	}
	return score, gradient, nil
}
