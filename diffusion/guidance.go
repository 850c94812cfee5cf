package diffusion

import (
	"context"

	"winnow/internal/ldm"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// denoiser is the network as the sampler sees it for pictures first … first+n−1, guidance applied. Under guidance both
// halves run as one batch, the negative half first.
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
	stacked, err := r.uncond.Pick(r.rows(first, n, r.uncond.Rows())).Stack(emb)
	if err != nil {
		return nil, err
	}
	both := stacked.Cond(r.req.Height, r.req.Width)
	both.Negative = n
	size := n * r.p.latentSize(r.req)
	in, out := make([]float32, 2*size), make([]float32, 2*size)
	return func(ctx context.Context, dst, x []float32, t float64) error {
		if r.steps.alone[t] {
			return alone(ctx, dst, x, t)
		}
		copy(in, x)
		copy(in[size:], x)
		if err := r.p.ldm.Denoise(ctx, out, in, 2*n, h, w, t, both); err != nil {
			return err
		}
		r.req.combine(dst, out[:size], out[size:])
		sampling.Rescale(dst, out[size:], n, r.req.GuidanceRescale)
		return nil
	}, nil
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
