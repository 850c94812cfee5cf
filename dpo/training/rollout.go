package training

import (
	"context"
	"fmt"
	"image"
	"slices"

	"winnow/internal/ldm"
	"winnow/internal/rng"
	"winnow/sampling"
)

// Reward scores pictures for methods that learn from their own samples, and for previews.
type Reward struct {
	Name  string
	Score func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error) // one prompt a picture; higher is better
	// Gradient scores one picture given as 3×height×width values around −1 to 1, with the derivative of the score with respect to
	// each. nil: the reward has none.
	Gradient ldmGradient
}

type ldmGradient = func(ctx context.Context, prompt string, pixels []float32, width, height int) (float64, []float32, error)

// guided is the policy under classifier-free guidance for some prompts.
type guided struct {
	t        *Trainer
	size     Size
	cond     ldm.Embeds
	both     ldm.Embeds // the empty prompt's rows before those of the prompts; zero without guidance
	scale    float64
	in, out  []float32
	adapters map[string]float32 // scales; nil: 1
}

// guide prepares guidance for prompts, one row each, that are read by the text encoders of an adapter; "" are the frozen ones. A scale
// of 1 or less is none.
func (t *Trainer) guide(ctx context.Context, prompts []string, size Size, scale float64, adapter string) (*guided, error) {
	cond, err := t.embedAs(ctx, adapter, prompts)
	if err != nil {
		return nil, err
	}
	g := &guided{t: t, size: size, cond: cond, scale: scale}
	if scale <= 1 {
		return g, nil
	}
	null, err := t.empty(ctx, adapter)
	if err != nil {
		return nil, err
	}
	g.both, err = null.Pick(make([]int, len(prompts))).Stack(cond)
	return g, err
}

// empty is what the model's own pipeline takes for no prompt, see guide.
func (t *Trainer) empty(ctx context.Context, adapter string) (ldm.Embeds, error) {
	if t.ldm.ZerosForEmpty() {
		return t.null, nil
	}
	return t.embedAs(ctx, adapter, []string{""})
}

func (g *guided) rows() int {
	if g.scale > 1 {
		return 2 * g.cond.Rows()
	}
	return g.cond.Rows()
}

// denoise is the network as a sampler sees it.
func (g *guided) denoise(ctx context.Context, dst, x []float32, at float64) error {
	t := g.t
	h, w, n := g.size.Height/t.ldm.Factor, g.size.Width/t.ldm.Factor, g.cond.Rows()
	if g.scale <= 1 {
		return t.ldm.Denoise(ctx, dst, x, n, h, w, at, g.scaled(t.cond(g.cond, g.size), n))
	}
	g.in = append(append(g.in[:0], x...), x...)
	g.out = slices.Grow(g.out[:0], 2*len(x))[:2*len(x)]
	if err := t.ldm.Denoise(ctx, g.out, g.in, 2*n, h, w, at, g.scaled(t.cond(g.both, g.size), 2*n)); err != nil {
		return err
	}
	sampling.Guide(dst, g.out[:len(x)], g.out[len(x):], g.scale)
	return nil
}

func (g *guided) scaled(c ldm.Cond, n int) ldm.Cond {
	if g.adapters == nil {
		return c
	}
	c.Scales = map[string][]float32{}
	for name, v := range g.adapters {
		c.Scales[name] = slices.Repeat([]float32{v}, n)
	}
	return c
}

// Picture asks for one preview.
type Picture struct {
	Prompt string
	Seed   uint64
}

// Pictures makes the policy's pictures of prompts with the model's own scheduler: what diffusers draws for the seeds. With base the
// adapters are off. Of two adapters the first makes the picture. Steps and scale 0 are the model's own.
func (t *Trainer) Pictures(ctx context.Context, want []Picture, steps int, scale float64, base bool) ([]image.Image, error) {
	if steps == 0 {
		steps = t.ldm.Defaults.Steps
	}
	if scale == 0 {
		scale = t.ldm.Defaults.GuidanceScale
	}
	plan, err := t.scheduler.Plan(steps, nil)
	if err != nil {
		return nil, err
	}
	var out []image.Image
	for group := range slices.Chunk(want, max(1, 16*64*64/(t.size.Width*t.size.Height))) {
		some, err := t.pictures(ctx, plan, group, scale, base)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

func (t *Trainer) pictures(ctx context.Context, plan *sampling.Plan, want []Picture, scale float64, base bool) ([]image.Image, error) {
	n := t.latents(t.size)
	var prompts []string
	noise := make([]float32, n*len(want))
	var sources []*rng.Generator
	for i, p := range want {
		g := rng.New(p.Seed)
		g.Normal(noise[i*n : (i+1)*n])
		prompts, sources = append(prompts, p.Prompt), append(sources, g)
	}
	policy := t.method.Adapters[0]
	if base {
		policy = ""
	}
	g, err := t.guide(ctx, prompts, t.size, scale, policy)
	if err != nil {
		return nil, err
	}
	g.adapters = map[string]float32{}
	for i, name := range t.method.Adapters {
		if g.adapters[name] = 1; base || i > 0 {
			g.adapters[name] = 0
		}
	}
	latents, err := sampling.Sample(ctx, plan, noise, len(want), g.denoise, &sampling.Options{Noise: func(dst []float32, _, _ float64) {
		for i, s := range sources {
			s.Normal(dst[i*n : (i+1)*n])
		}
	}})
	if err != nil {
		return nil, err
	}
	return t.decode(ctx, latents, t.size)
}

// decode turns latents into pictures.
func (t *Trainer) decode(ctx context.Context, latents []float32, size Size) ([]image.Image, error) {
	n := len(latents) / t.latents(size)
	pixels, err := t.ldm.Decode(ctx, latents, n, size.Height/t.ldm.Factor, size.Width/t.ldm.Factor)
	if err != nil {
		return nil, err
	}
	area := 3 * size.Width * size.Height
	out := make([]image.Image, n)
	for i := range out {
		if out[i], err = ldm.ToImage(pixels[i*area:(i+1)*area], size.Height, size.Width); err != nil {
			return nil, fmt.Errorf("picture %d: %w", i+1, err)
		}
	}
	return out, nil
}

// score asks the reward about latents of prompts.
func (t *Trainer) score(ctx context.Context, prompts []string, latents []float32, size Size) ([]float64, error) {
	pictures, err := t.decode(ctx, latents, size)
	if err != nil {
		return nil, err
	}
	return t.config.Siblings.Reward.Score(ctx, prompts, pictures)
}
