package training

import (
	"context"
	"math/rand/v2"
	"slices"

	"winnow/dpo"
)

// walk draws the paths of a bundle. Those of a prompt start from one noise where they are compared in pairs, and each from its own
// else.
func (p *paths) walk(ctx context.Context, b *bundle, r *rand.Rand) error {
	t := p.t
	g, err := t.guide(ctx, b.prompts, t.size, t.config.Siblings.Guidance, t.method.Adapters[0])
	if err != nil {
		return err
	}
	n := t.latents(t.size)
	x := p.noise(len(b.prompts), n, r)
	st, err := p.plan.Start(x, len(b.prompts))
	if err != nil {
		return err
	}
	b.paths = make([]trail, len(b.prompts))
	keep := func(x []float32) {
		for i := range b.paths {
			b.paths[i].states = append(b.paths[i].states, slices.Clone(x[i*n:(i+1)*n]))
		}
	}
	keep(st.X)
	out, noise := make([]float32, len(x)), make([]float32, len(x))
	for st.Index < p.plan.Len() {
		if err := g.denoise(ctx, out, st.X, p.plan.Timesteps[st.Index]); err != nil {
			return err
		}
		step, err := linearStep(p.plan, st.Index)
		if err != nil {
			return err
		}
		mean := step.mean(st.X, out)
		normal(noise, r)
		next := make([]float32, len(mean))
		for k, m := range mean {
			next[k] = m + float32(step.sigma*float64(noise[k]))
		}
		for i := range b.paths {
			e := 0.0 // a step without noise is not learnt from
			if step.sigma > 0 {
				e = dpo.StepError(next[i*n:(i+1)*n], mean[i*n:(i+1)*n], step.sigma)
			}
			b.paths[i].errors = append(b.paths[i].errors, e)
		}
		keep(next)
		st.Index, st.Calls, st.X = st.Index+1, st.Calls+1, next
	}
	return nil
}

// noise is what paths start from.
func (p *paths) noise(count, n int, r *rand.Rand) []float32 {
	x := make([]float32, count*n)
	normal(x, r)
	if group := p.t.config.Siblings.Paths; p.t.method.Rejected {
		for i := range count {
			first := i / group * group
			copy(x[i*n:(i+1)*n], x[first*n:(first+1)*n])
		}
	}
	return x
}
