package diffusion

import (
	"context"
	"slices"

	"winnow/internal/ldm"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// denoiser is the network as the sampler sees it for pictures first … first+n−1, guidance applied. Under guidance all
// parts run as one batch, the negative one first.
func (r *run) denoiser(first, n int) (sampling.Denoiser, error) {
	h, w := r.latentSides()
	emb := r.cond.Pick(r.rows(first, n, r.cond.Rows()))
	one := emb.Cond(r.req.Height, r.req.Width)
	alone := func(ctx context.Context, dst, x []float32, t float64) error {
		return r.p.ldm.Denoise(ctx, dst, x, n, h, w, t, one)
	}
	if !r.req.guided() {
		return alone, nil
	}
	both, count, err := r.parts(emb, first, n)
	if err != nil {
		return nil, err
	}
	size := n * r.p.latentSize(r.req)
	in, out := make([]float32, count*size), make([]float32, count*size)
	parts := slices.Collect(slices.Chunk(out, size))
	return func(ctx context.Context, dst, x []float32, t float64) error {
		if r.steps.alone[t] {
			return alone(ctx, dst, x, t)
		}
		for k := range count {
			copy(in[k*size:], x)
		}
		if err := r.p.ldm.Denoise(ctx, out, in, count*n, h, w, t, both); err != nil {
			return err
		}
		r.req.combine(dst, parts, n)
		return nil
	}, nil
}

// parts stacks what a guided step predicts for n pictures: for the negative side, for the prompts, and for the prompts with perturbed
// attention, as far as the rule takes them.
func (r *run) parts(emb ldm.Embeds, first, n int) (c ldm.Cond, count int, err error) {
	all, count := emb, 1
	if r.req.Guidance == PAG {
		if all, err = emb.Stack(emb); err != nil {
			return c, 0, err
		}
		count++
	}
	negative := r.req.Guidance != PAG || r.req.needsNull()
	if negative {
		if all, err = r.uncond.Pick(r.rows(first, n, r.uncond.Rows())).Stack(all); err != nil {
			return c, 0, err
		}
		count++
	}
	c = all.Cond(r.req.Height, r.req.Width)
	if negative {
		c.Negative = n
	}
	if r.req.Guidance == PAG {
		c.Perturbed = n
	}
	return c, count, nil
}

// rows maps pictures to embedding rows: one row per prompt, or a single one for all.
func (r *run) rows(first, n, have int) []int {
	rows := make([]int, n)
	for i := range rows {
		if have > 1 {
			rows[i] = (first + i) / r.req.Count
		}
	}
	return rows
}

// rows gives the embeddings as tensors; check has made sure that the lengths fit.
func (e *PromptEmbeds) rows(guided bool) (cond, uncond ldm.Embeds) {
	cond = e.part(e.Prompt, e.PooledPrompt)
	if guided {
		uncond = e.part(e.Negative, e.PooledNegative)
	}
	return cond, uncond
}

func (e *PromptEmbeds) part(hidden, pooled []float32) ldm.Embeds {
	rows := len(hidden) / (e.Tokens * e.Dim)
	out := ldm.Embeds{Hidden: tensor.FromF32(hidden, rows, e.Tokens, e.Dim)}
	if e.PooledDim > 0 {
		out.Pooled = tensor.FromF32(pooled, rows, e.PooledDim)
	}
	return out
}
