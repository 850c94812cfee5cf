package minibench

import (
	"context"
	"errors"
	"fmt"
	"image"
	"maps"
	"slices"

	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/rewards/metric"
)

// Aligned is a model that is held against the base: adapters of one recipe, trained with several seeds.
type Aligned struct {
	Name string
	// Open opens the pipeline of one seed. Its guidance rule and scale for a scale w of classifier-free guidance come from Request.
	Open    []func(ctx context.Context) (*diffusion.Pipeline, error)
	Request func(w float64) diffusion.Request
}

// AlignOptions says how to compare.
type AlignOptions struct {
	Steps    int // 0 means 25
	Guidance []float64
	Seed     uint64
	Reward   func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error)
	OnPart   func(name string, done, total int) // pictures
}

// Difference is an aligned model's figure minus the base's, paired over prompts, and its two-sided p-value by bootstrap.
type Difference struct {
	Figure
	P float64 `json:"p"`
}

// AlignReport compares one model with the base at one guidance scale. Figures of several seeds are means over them, prompt by prompt.
type AlignReport struct {
	Name          string                `json:"name"` // "base" for the base itself
	GuidanceScale float64               `json:"guidance_scale"`
	Prompts       int                   `json:"prompts"`
	Seeds         int                   `json:"seeds"`
	Figures       map[string]Figure     `json:"figures"` // strict, frac, clean, score, reward, strict.KIND
	Over          map[string]Difference `json:"over,omitempty"`
	// Wins is the share of prompts whose picture scores higher than the base's from the same noise, ties half, by checker and reward.
	Wins map[string]Figure `json:"wins,omitempty"`
}

// each is what one model does on each prompt.
type each map[string][]float64

// Align draws pictures of the base and of every model from the same noise and compares them.
func Align(ctx context.Context, base Aligned, models []Aligned, prompts []miniworld.Prompt, o AlignOptions) ([]AlignReport, error) {
	var out []AlignReport
	plain := map[float64]each{}
	for _, m := range append([]Aligned{base}, models...) {
		all, err := m.measure(ctx, prompts, o)
		if err != nil {
			return out, fmt.Errorf("%s: %w", m.Name, err)
		}
		for _, w := range o.Guidance {
			r := AlignReport{Name: m.Name, GuidanceScale: w, Prompts: len(prompts), Seeds: len(m.Open), Figures: map[string]Figure{}}
			for _, name := range slices.Sorted(maps.Keys(all[w])) {
				r.Figures[name] = Interval(all[w][name])
			}
			if plain[w] == nil {
				plain[w] = all[w]
			} else {
				r.over(all[w], plain[w])
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// over fills in the comparison with the base.
func (r *AlignReport) over(mine, base each) {
	r.Over, r.Wins = map[string]Difference{}, map[string]Figure{}
	for name, v := range mine {
		d := metric.PairedBootstrap(len(v), resamples, 1, 0.95, metric.MeanOf(v), metric.MeanOf(base[name]))
		r.Over[name] = Difference{Figure{d.Value, d.Low, d.High}, d.P}
	}
	for _, name := range []string{"score", "reward"} {
		if mine[name] == nil {
			continue
		}
		wins := make([]float64, len(mine[name]))
		for i, v := range mine[name] {
			switch b := base[name][i]; {
			case v > b:
				wins[i] = 1
			case v == b:
				wins[i] = 0.5
			}
		}
		r.Wins[name] = Interval(wins)
	}
}

// measure draws with all seeds of a model, and takes the means over them.
func (m *Aligned) measure(ctx context.Context, prompts []miniworld.Prompt, o AlignOptions) (map[float64]each, error) {
	sum := map[float64]each{}
	total := len(prompts) * len(m.Open) * len(o.Guidance)
	for k, open := range m.Open {
		p, err := open(ctx)
		if err != nil {
			return nil, err
		}
		for i, w := range o.Guidance {
			req := m.Request(w)
			opt := Options{Steps: o.Steps, Seed: o.Seed, Request: &req, OnPicture: func(done, n int) {
				if o.OnPart != nil {
					o.OnPart(m.Name, (k*len(o.Guidance)+i)*n+done, total)
				}
			}}
			e, err := figures(ctx, p, prompts, opt, o)
			if err != nil {
				return nil, errors.Join(err, p.Close())
			}
			add(sum, w, e, float64(len(m.Open)))
		}
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func add(sum map[float64]each, w float64, e each, n float64) {
	if sum[w] == nil {
		sum[w] = each{}
	}
	for name, v := range e {
		if sum[w][name] == nil {
			sum[w][name] = make([]float64, len(v))
		}
		for i, x := range v {
			sum[w][name][i] += x / n
		}
	}
}

// figures draws one picture per prompt and judges it.
func figures(ctx context.Context, p *diffusion.Pipeline, prompts []miniworld.Prompt, opt Options, o AlignOptions) (each, error) {
	e := each{}
	var texts []string
	var pictures []image.Image
	err := Draw(ctx, p, prompts, opt, func(i int, im diffusion.Image, r miniworld.Result) error {
		texts, pictures = append(texts, prompts[i].Text), append(pictures, im.NRGBA)
		for name, v := range map[string]float64{"strict": truth(r.Strict), "frac": r.Frac, "clean": r.Clean, "score": r.Score} {
			e[name] = append(e[name], v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.withKinds(prompts)
	if o.Reward == nil {
		return e, nil
	}
	e["reward"], err = o.Reward(ctx, texts, pictures)
	return e, err
}

// withKinds adds the strict figure of each sort of prompt.
func (e each) withKinds(prompts []miniworld.Prompt) {
	for i, q := range prompts {
		name := "strict." + string(q.Spec.Kind)
		e[name] = append(e[name], e["strict"][i])
	}
}
