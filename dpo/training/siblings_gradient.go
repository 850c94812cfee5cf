package training

import (
	"context"
	"math"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// push moves the better samples along the gradient of the reward (TailorPO-G): by Gradient·σ² times the gradient, which is how far the mean
// of a step of variance σ² moves where its density is weighed by exp(Gradient·reward). No sample moves further than the step's noise is long.
func (s *siblings) push(ctx context.Context, prompts []string, tuples []tuple) error {
	t := s.t
	h, w := t.size.Height/t.ldm.Factor, t.size.Width/t.ldm.Factor
	for i := range tuples {
		u := &tuples[i]
		emb, err := t.embedAs(ctx, t.method.Adapters[0], prompts[u.prompt:u.prompt+1])
		if err != nil {
			return err
		}
		g := ldm.Guidance{Positive: emb, ByPositive: 1, Height: h, Width: w}
		if scale := t.config.Siblings.Guidance; scale > 1 {
			g.ByPositive, g.ByNegative = scale, 1-scale
			if g.Negative, err = t.empty(ctx, t.method.Adapters[0]); err != nil {
				return err
			}
		}
		row, err := s.plan.Row(u.step+1, u.step+1)
		if err != nil {
			return err
		}
		slope, err := s.slope(ctx, t.ldm.Pullback(g), prompts[u.prompt], u.best, s.plan.Timesteps[u.step+1], row)
		if err != nil {
			return err
		}
		by, err := s.shift(u.step, slope)
		if err != nil {
			return err
		}
		for k, v := range slope {
			u.best[k] += float32(by * v)
		}
	}
	return nil
}

// shift is what the gradient of the reward is multiplied by at a step.
func (s *siblings) shift(step int, slope []float64) (float64, error) {
	row, err := s.plan.Row(step, step)
	if err != nil {
		return 0, err
	}
	by, length := s.t.config.Siblings.Gradient*row.Noise*row.Noise, 0.0
	for _, v := range slope {
		length += v * v
	}
	if length = by * math.Sqrt(length); length > 0 {
		by *= min(1, row.Noise*math.Sqrt(float64(len(slope)))/length)
	}
	return by, nil
}

// slope is the derivative of the reward of the clean latents that the policy expects, with respect to the latents.
func (s *siblings) slope(ctx context.Context, network sampling.Pullback, prompt string, x []float32, at float64, row sampling.Row) ([]float64, error) {
	t := s.t
	var direct []float32
	out := make([]float32, len(x))
	back, err := network(ctx, out, x, at, func() ([]float32, error) {
		clean := make([]float32, len(x))
		for k, v := range x {
			clean[k] = float32(row.DataX*float64(v) + row.DataOut*float64(out[k]))
		}
		var err error
		_, direct, err = t.ldm.DecodeGradient(ctx, clean, 1, t.size.Height/t.ldm.Factor, t.size.Width/t.ldm.Factor,
			func(ctx context.Context, pixels []float32, width, height int) (float64, []float32, error) {
				return t.config.Siblings.Reward.Gradient(ctx, prompt, pixels, width, height)
			})
		if err != nil {
			return nil, err
		}
		through := make([]float32, len(x))
		for k, v := range direct {
			through[k] = float32(row.DataOut) * v
		}
		return through, nil
	})
	if err != nil {
		return nil, err
	}
	sum := make([]float64, len(x))
	for k := range sum {
		sum[k] = row.DataX*float64(direct[k]) + float64(back[k])
	}
	return sum, nil
}
