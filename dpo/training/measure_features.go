package training

import (
	"context"
	"fmt"

	"winnow/dpo"
	"winnow/sampling"
)

// looker is a sample whose errors take a network of their own. It is shown outputs ahead of errors, and with back
// ahead of cotangent, too.
type looker interface {
	look(ctx context.Context, out []float32, back bool) error
}

// look shows outputs to a sample that wants to see them.
func look(ctx context.Context, s sample, out []float32, back bool) error {
	if l, ok := s.(looker); ok {
		return l.look(ctx, out, back)
	}
	return nil
}

// eye gives features of rows, those of each row one after another, and the way back: slopes are the derivatives of a
// number of each row with respect to its features, back those with respect to its latents.
type eye interface {
	features(ctx context.Context, in *rows) ([]float32, error)
	featuresGradient(ctx context.Context, in *rows, slopes func(row int, seen []float32) []float32) (back []float32, err error)
}

// evaluationsOf is what it costs to measure a sample under one reference. The way to the middle counts as half of the
// whole.
func evaluationsOf(s sample) int64 {
	n := int64(s.rows().n)
	if _, ok := s.(looker); ok {
		return n + n/2
	}
	return n
}

// perceived is a batch of noised pictures whose errors are distances of features: one step of DDPM goes on from the
// noisy latents by the output, another by the target, with the same noise, and the error is the mean squared
// difference of what the middle of the frozen U-Net says to the two (Gambashidze et al., Aligning Diffusion Models
// with Noise-Conditioned Perception, arXiv 2406.17636, the perceptual loss of one step). Steps from timestep 0 lead
// to timestep 0, where nothing is left to measure, as in the authors' program.
//
// An error is a number of its row alone, so its derivative with respect to the row's output is made together with it,
// and the loss only multiplies that.
type perceived struct {
	*denoising
	by     eye
	steps  []sampling.Posterior // of each row
	noise  []float32            // of each pair's step, which its pictures share
	ts     []float64            // behind the step, of each row
	want   []float32            // features behind the targets' steps; nil: not made yet
	values []float64            // errors of the rows in the outputs that were shown last
	slopes []float32            // derivatives of the rows' errors with respect to those outputs
}

// perceive measures a batch by features. noise is a draw of latents for each of its pairs.
func (t *Trainer) perceive(b *denoising, noise []float32) (sample, error) {
	p := &perceived{denoising: b, by: t, noise: noise, values: make([]float64, b.in.n)}
	for _, at := range b.in.t {
		step, err := t.posterior(int(at))
		if err != nil {
			return nil, err
		}
		p.steps, p.ts = append(p.steps, step), append(p.ts, max(at-1, 0))
	}
	return p, nil
}

// stepNoise draws the noise of a pair's steps, one for each draw of its timestep, if the method looks at those.
func (s *pairs) stepNoise(d drawn, epoch int) []float32 {
	if !s.t.method.Features {
		return nil
	}
	out := make([]float32, s.t.draws*len(d.chosen))
	normal(out, stream(s.t.config.Seed, "step", d.pair.ID[:], epoch))
	return out
}

// posterior is the step of DDPM from a training timestep to the one before.
func (t *Trainer) posterior(at int) (sampling.Posterior, error) {
	schedule := t.scheduler.Schedule()
	return t.scheduler.Config().PredictionType.Posterior(schedule.AlphaBar(at), schedule.AlphaBar(max(at-1, 0)))
}

// fitFeatures refuses models whose steps cannot be measured.
func (t *Trainer) fitFeatures() error {
	if !t.method.Features {
		return nil
	}
	if t.flow() {
		return &SettingError{Err: fmt.Errorf("%s measures a step of DDPM, and the model is a flow, whose steps draw no noise; train dpo", t.method.Name)}
	}
	last := t.scheduler.Schedule().Len() - 1
	step, err := t.posterior(last)
	if err == nil && step.Output-step.Output != 0 {
		return &SettingError{Err: fmt.Errorf("%s: the model's noisiest level has no signal, so that its step by predicted noise is infinite; train dpo, or give the scheduler rescale_betas_zero_snr false", t.method.Name)}
	}
	return err
}

// after are the latents behind the steps that the outputs say.
func (p *perceived) after(out []float32) *rows {
	in := p.in
	in.x, in.t = make([]float32, len(out)), p.ts
	for row, step := range p.steps {
		x, o, to := p.part(p.in.x, row), p.part(out, row), p.part(in.x, row)
		z := p.noise[(row%p.pairs)*len(x):]
		for i := range to {
			to[i] = float32(step.X*float64(x[i]) + step.Output*float64(o[i]) + step.Noise*float64(z[i]))
		}
	}
	return &in
}

func (p *perceived) look(ctx context.Context, out []float32, back bool) error {
	if p.want == nil {
		var err error
		if p.want, err = p.by.features(ctx, p.after(p.target)); err != nil {
			return err
		}
	}
	if !back {
		seen, err := p.by.features(ctx, p.after(out))
		if err != nil {
			return err
		}
		for row := range p.values {
			p.values[row] = dpo.DenoisingError(p.part(seen, row), p.part(p.want, row))
		}
		return nil
	}
	var err error
	p.slopes, err = p.by.featuresGradient(ctx, p.after(out), func(row int, seen []float32) []float32 {
		want, slope := p.part(p.want, row), make([]float32, len(seen))
		p.values[row] = dpo.DenoisingError(seen, want)
		dpo.DenoisingCotangent(slope, seen, want, 1)
		return slope
	})
	return err
}

func (p *perceived) errors(dst []pairErrors, _ []float32) {
	for i := range p.pairs {
		dst[i].chosen = p.weigh(i) * p.values[i]
		if p.both {
			dst[i].rejected = p.weigh(p.pairs+i) * p.values[p.pairs+i]
		}
	}
}

func (p *perceived) cotangent(dst, _ []float32, grad []dpo.Grad) {
	for row := range p.in.n {
		slope := grad[row%p.pairs].Chosen
		if row >= p.pairs {
			slope = grad[row-p.pairs].Rejected
		}
		by := p.weigh(row) * slope * p.steps[row].Output
		to := p.part(dst, row)
		for i, v := range p.part(p.slopes, row) {
			to[i] = float32(by * float64(v))
		}
	}
}

// features are what the middle of the frozen U-Net says to rows.
func (t *Trainer) features(ctx context.Context, in *rows) ([]float32, error) {
	groups := t.groups(in)
	if groups == nil {
		return t.ldm.Features(ctx, in.x, in.n, in.height, in.width, in.t, in.cond)
	}
	var out []float32
	for _, g := range groups {
		some := in.pick(g)
		v, err := t.ldm.Features(ctx, some.x, some.n, in.height, in.width, some.t[:1], in.cond.Pick(g))
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = make([]float32, len(v)/len(g)*in.n)
		}
		putRows(out, v, g)
	}
	return out, nil
}

// featuresGradient is features with the way back.
func (t *Trainer) featuresGradient(ctx context.Context, in *rows, slopes func(row int, seen []float32) []float32) ([]float32, error) {
	groups := t.groups(in)
	if groups == nil {
		all := make([]int, in.n)
		for i := range all {
			all[i] = i
		}
		groups = [][]int{all}
	}
	out := make([]float32, len(in.x))
	for _, g := range groups {
		some := in.pick(g)
		if len(groups) > 1 {
			some.t = some.t[:1]
		}
		back, err := t.ldm.FeaturesGradient(ctx, some.x, some.n, in.height, in.width, some.t, in.cond.Pick(g), t.config.Checkpoint, func(seen []float32) ([]float32, error) {
			size, all := len(seen)/len(g), make([]float32, 0, len(seen))
			for k, row := range g {
				all = append(all, slopes(row, seen[k*size:(k+1)*size])...)
			}
			return all, nil
		})
		if err != nil {
			return nil, err
		}
		putRows(out, back, g)
	}
	return out, nil
}
