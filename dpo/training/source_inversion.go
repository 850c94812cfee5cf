package training

import (
	"context"
	"fmt"

	"winnow/internal/ldm"
	"winnow/sampling"
)

// inversion makes batches of inverted pictures: in place of random noise the policy itself says which noise a picture comes from
// (SmPO, arXiv 2506.02698 and github.com/JaydenLyh/SmPO). Where the published program ends on the level below the timestep that the
// network is told, and inverts a whole batch to the level of its first pair, levels here are drawn from the grid, exactly and for
// each pair.
type inversion struct {
	*pairs
	grid *sampling.InversionGrid
	// noise draws what steps add, for a row of a batch of pairs; nil: each pair's own source.
	noise func(dst []float32, row int)
}

func (t *Trainer) newInversion(d *Data) (*inversion, error) {
	scheduler := t.scheduler
	if !t.flow() {
		// As DDIM, whatever the model samples with: SDXL's file names another scheduler, and says where DDIM's clean level is.
		config, err := t.ldm.Scheduler.As("ddim")
		if err != nil {
			return nil, err
		}
		if scheduler, err = sampling.New(config); err != nil {
			return nil, err
		}
	}
	grid, err := scheduler.InversionGrid(t.config.Inversion.Steps)
	if err != nil {
		return nil, err
	}
	return &inversion{pairs: t.newPairs(d), grid: grid}, t.inverting().Check()
}

func (s *inversion) fingerprint() string {
	c := s.t.config.Inversion
	v := fmt.Sprintf("%s, {Steps:%d Method:%s Iterations:%d}", s.pairs.fingerprint(), c.Steps, c.Method, c.Iterations)
	if c.Noise > 0 {
		v += fmt.Sprintf(" noise %v", c.Noise)
	}
	return v
}

func (t *Trainer) inverting() sampling.InvertOptions {
	return sampling.InvertOptions{Method: t.config.Inversion.Method, Iterations: t.config.Inversion.Iterations}
}

func (s *inversion) batch(ctx context.Context, i int) (sample, error) {
	places, groups, epoch := s.pick(i)
	var pairs []drawn
	var levels []int
	for i, place := range places {
		d, err := s.draw(ctx, place, epoch)
		if err != nil {
			return nil, err
		}
		d.group = groups[i]
		pairs, levels = append(pairs, d), append(levels, 1+int(d.rng.Float64()*float64(s.grid.Len())))
	}
	return s.at(ctx, s.data.Sizes[s.data.Pairs[places[0]].Size], pairs, levels)
}

// at inverts pairs to the levels given.
func (s *inversion) at(ctx context.Context, size Size, pairs []drawn, levelOf []int) (sample, error) {
	t, n := s.t, len(pairs)
	b := newDenoising(t, size, n)
	levels, clean := make([]int, 2*n), make([]float32, len(b.in.x))
	var prompts []string
	for k, d := range pairs {
		level := levelOf[k]
		for j, latents := range [][]float32{d.chosen, d.rejected} {
			row := j*n + k
			copy(b.part(clean, row), latents)
			levels[row], b.in.t[row] = level, s.grid.Timesteps[level-1]
			if t.config.SNRGamma == 0 {
				continue
			}
			a := s.grid.Signal[level]
			w, err := s.grid.Prediction.MinSNRWeight(a*a, t.config.SNRGamma)
			if err != nil {
				return nil, err
			}
			b.setWeight(row, w)
		}
		b.mark(d)
		prompts = append(prompts, d.prompt)
	}
	b.pairs = n
	out, err := b.finish(ctx, t, size, prompts, false)
	if err != nil {
		return nil, err
	}
	draw := s.noise
	if draw == nil {
		draw = func(dst []float32, row int) { normal(dst, pairs[row%n].rng) }
	}
	return out, s.invert(ctx, b, clean, levels, draw)
}

// invert fills in the noisy latents and what the network should have said to come there.
func (s *inversion) invert(ctx context.Context, b *denoising, clean []float32, levels []int, draw func([]float32, int)) error {
	t := s.t
	c, err := t.policyText(ctx, &b.in, b.in.cond)
	if err != nil {
		return err
	}
	model := func(ctx context.Context, dst, x []float32, rows []int, at float64) error {
		e := ldm.Embeds{Hidden: c.Hidden, Pooled: c.Pooled}.Pick(rows)
		some := e.Cond(b.in.height*t.ldm.Factor, b.in.width*t.ldm.Factor)
		return t.ldm.Denoise(ctx, dst, x, len(rows), b.in.height, b.in.width, at, some)
	}
	o := t.inverting()
	if t.config.Inversion.Noise > 0 {
		o.Eta, o.Draw = t.config.Inversion.Noise, func(dst []float32, _ int, rows []int) {
			size := len(dst) / len(rows)
			for i, row := range rows {
				draw(dst[i*size:(i+1)*size], row)
			}
		}
	}
	inv, err := s.grid.Invert(ctx, model, clean, levels, o)
	if err != nil {
		return err
	}
	copy(b.in.x, inv.X)
	return s.grid.Target(b.target, inv.X, clean, levels)
}
