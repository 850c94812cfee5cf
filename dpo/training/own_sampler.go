package training

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"winnow/sampling"
)

// What methods share that learn from the policy's own sampler.

// checkOwn misses what pictures of the policy's own are made and judged by.
func (t *Trainer) checkOwn() error {
	c := &t.config.Siblings
	switch {
	case len(c.Prompts) == 0:
		return errors.New("training on the policy's own samples needs prompts; name a file with --prompts")
	case c.Reward.Score == nil:
		return errors.New("training on the policy's own samples needs a reward; name one with --reward")
	case c.Gradient != 0 && c.Reward.Gradient == nil:
		return fmt.Errorf("--sibling-gradient: the reward %s has no derivative", c.Reward.Name)
	}
	return nil
}

// ownPlan is the sampler that paths are drawn by: DDIM with all of its noise, and for flows Euler's method with noise.
func (t *Trainer) ownPlan() (*sampling.Plan, error) {
	c := &t.config.Siblings
	if t.flow() {
		return t.scheduler.Plan(c.Steps, &sampling.PlanOptions{FlowNoise: c.FlowNoise})
	}
	config, err := t.ldm.Scheduler.As("ddim")
	if err != nil {
		return nil, err
	}
	if config.ClipSample || config.Thresholding {
		return nil, errors.New("the model's scheduler clips its predictions, so that a step is not normal with a mean linear in them; set clip_sample and thresholding to false in scheduler_config.json")
	}
	scheduler, err := sampling.New(config)
	if err != nil {
		return nil, err
	}
	return scheduler.Plan(c.Steps, &sampling.PlanOptions{Eta: 1})
}

// ownSteps are the steps of a plan ahead of end that can be learnt from, and how many of them an update learns from.
func (t *Trainer) ownSteps(plan *sampling.Plan, end int) (steps []int, learn int, err error) {
	c := &t.config.Siblings
	if c.First > 0 {
		end = min(end, c.First)
	}
	for i := max(c.Skip, 0); i < end; i++ {
		if row, err := plan.Row(i, i); err == nil && row.Noise > 0 {
			steps = append(steps, i)
		}
	}
	if learn = c.Learn; learn == 0 {
		learn = max(1, len(steps))
	}
	if len(steps) < learn {
		return nil, 0, fmt.Errorf("--sibling-learn %d: only %d of the sampler's steps can be learnt from (of siblings not the last one, and none without noise)", learn, len(steps))
	}
	return steps, learn, nil
}

// linear is a step whose mean is byX·x + byOut·output.
type linear struct{ byX, byOut, sigma float64 }

func linearStep(plan *sampling.Plan, i int) (linear, error) {
	row, err := plan.Row(i, i)
	return linear{row.X + row.Data*row.DataX, row.Out + row.Data*row.DataOut, row.Noise}, err
}

// mean of the step from x with the network's answer, after guidance.
func (l *linear) mean(x, answer []float32) []float32 {
	mean := make([]float32, len(x))
	for k, v := range x {
		mean[k] = float32(l.byX*float64(v) + l.byOut*float64(answer[k]))
	}
	return mean
}

// guidedRows are rows of the denoiser under guidance, which has the empty prompt's rows before those of the prompts.
type guidedRows struct {
	in    rows
	scale float64
	n     int // without those of the empty prompt
}

// guideRows makes the rows of latents at timesteps with their prompts.
func (t *Trainer) guideRows(ctx context.Context, x []float32, at []float64, prompts []string) (guidedRows, error) {
	out := guidedRows{scale: t.config.Siblings.Guidance, n: len(prompts)}
	out.in = rows{height: t.size.Height / t.ldm.Factor, width: t.size.Width / t.ldm.Factor, x: x, t: at}
	g, err := t.guide(ctx, prompts, t.size, out.scale, "")
	if err != nil {
		return out, err
	}
	out.in.n, out.in.cond = g.rows(), t.cond(g.cond, t.size)
	if out.scale > 1 {
		out.in.x, out.in.t = append(out.in.x, x...), append(out.in.t, at...)
		out.in.cond = t.cond(g.both, t.size)
	}
	if t.config.TrainText {
		out.in.text = readings(prompts)
		if out.scale > 1 {
			empty := slices.Repeat([]reading{{zeros: t.ldm.ZerosForEmpty()}}, len(prompts))
			out.in.text = append(empty, out.in.text...)
		}
	}
	return out, nil
}

func (g *guidedRows) rows() *rows  { return &g.in }
func (g *guidedRows) known() []Key { return nil }

// answer is the network's answer to row i of n numbers, after guidance.
func (g *guidedRows) answer(out []float32, i, n int) []float32 {
	if g.scale <= 1 {
		return out[i*n : (i+1)*n]
	}
	guided, both := make([]float32, n), g.n*n
	sampling.Guide(guided, out[i*n:(i+1)*n], out[both+i*n:both+(i+1)*n], g.scale)
	return guided
}

// back writes the derivative with respect to the outputs of row i, from by times that with respect to its answer.
func (g *guidedRows) back(dst []float32, i int, cot []float32, by float64) {
	n := len(cot)
	if g.scale <= 1 {
		for k, v := range cot {
			dst[i*n+k] = float32(by) * v
		}
		return
	}
	both := g.n * n
	for k, v := range cot {
		dst[i*n+k] = float32(by*(1-g.scale)) * v
		dst[both+i*n+k] = float32(by*g.scale) * v
	}
}

// rewardsOf asks the reward about latents of prompts, some at a time.
func (t *Trainer) rewardsOf(ctx context.Context, prompts []string, latents []float32) ([]float64, error) {
	var out []float64
	n := t.latents(t.size)
	for first := 0; first < len(prompts); first += encodeBatch {
		last := min(first+encodeBatch, len(prompts))
		some, err := t.score(ctx, prompts[first:last], latents[first*n:last*n], t.size)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}
