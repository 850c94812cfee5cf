package minibench

import (
	"context"
	"errors"
	"fmt"
	"image"
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

// RewardFunc scores pictures, one prompt each.
type RewardFunc func(ctx context.Context, prompts []string, pictures []image.Image) ([]float64, error)

// AlignOptions says how to compare.
type AlignOptions struct {
	Steps    int // 0 means 25
	Guidance []float64
	Seed     uint64 // of the noise of a recipe's first training seed; the next one's is one more, and so on
	Over     string // model that others are held against; "" is the base
	Reward   RewardFunc
	OnPart   func(name string, done, total int) // pictures
}

// Difference is an aligned model's figure minus that of the model it is held against, paired over prompts, and its two-sided p-value by
// bootstrap.
type Difference struct {
	Figure
	P float64 `json:"p"`
}

// AlignReport compares one model with another at one guidance scale. Figures of several seeds are means over them, prompt by prompt; each
// seed draws from a noise of its own, and is held against the other's picture from the same noise.
type AlignReport struct {
	Name          string                `json:"name"` // "base" for the base itself
	GuidanceScale float64               `json:"guidance_scale"`
	Prompts       int                   `json:"prompts"`
	Seeds         int                   `json:"seeds"`
	Figures       map[string]Figure     `json:"figures"` // strict, frac, clean, score, reward, strict.KIND
	Over          map[string]Difference `json:"over,omitempty"`
	// Wins is the share of prompts whose picture scores higher than the other's from the same noise, ties half, by checker and reward.
	Wins map[string]Figure `json:"wins,omitempty"`
}

// Scores is what one model does on each prompt: strict, frac, clean, score, reward, and strict.KIND of the prompts of that sort.
type Scores map[string][]float64

// Align draws pictures of the base and of every model from the same noise and compares them.
func Align(ctx context.Context, base Aligned, models []Aligned, prompts []miniworld.Prompt, o AlignOptions) ([]AlignReport, error) {
	over := 0
	models = append([]Aligned{base}, models...)
	if o.Over != "" {
		if over = slices.IndexFunc(models, func(m Aligned) bool { return m.Name == o.Over }); over < 0 {
			return nil, fmt.Errorf("no model is called %s, which the others are to be held against", o.Over)
		}
	}
	for _, m := range models { // the base has one training for all noises
		for len(models[0].Open) < len(m.Open) {
			models[0].Open = append(slices.Clip(models[0].Open), base.Open[0])
		}
	}
	drawn := make([]map[float64][]Scores, len(models))
	for i := range models {
		var err error
		if drawn[i], err = models[i].measure(ctx, prompts, o); err != nil {
			return nil, fmt.Errorf("%s: %w", models[i].Name, err)
		}
	}
	var out []AlignReport
	for i, m := range models {
		for _, w := range o.Guidance {
			mine := drawn[i][w]
			r := AlignReport{Name: m.Name, GuidanceScale: w, Prompts: len(prompts), Seeds: len(mine), Figures: map[string]Figure{}}
			for name, v := range MeanScores(mine) {
				r.Figures[name] = Interval(v)
			}
			if other := drawn[over][w]; i != over {
				n := min(len(mine), len(other))
				r.Over, r.Wins = Against(mine[:n], other[:n])
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// Against compares a model with another, noise by noise: as many of each. Differences are those of the means over noises, wins the share of
// prompts on which the first scores higher, ties half, by checker and reward.
func Against(mine, other []Scores) (over map[string]Difference, won map[string]Figure) {
	over, won = map[string]Difference{}, map[string]Figure{}
	a, b := MeanScores(mine), MeanScores(other)
	for name, v := range a {
		if len(v) < 2 {
			continue // one prompt says nothing about others
		}
		d := metric.PairedBootstrap(len(v), resamples, 1, 0.95, metric.MeanOf(v), metric.MeanOf(b[name]))
		over[name] = Difference{Figure{d.Value, d.Low, d.High}, d.P}
	}
	for _, name := range []string{"score", "reward"} {
		if a[name] == nil {
			continue
		}
		wins := make([]float64, len(a[name]))
		for k := range mine {
			for i, v := range mine[k][name] {
				switch b := other[k][name][i]; {
				case v > b:
					wins[i] += 1 / float64(len(mine))
				case v == b:
					wins[i] += 0.5 / float64(len(mine))
				}
			}
		}
		won[name] = Interval(wins)
	}
	return over, won
}

// measure draws with all seeds of a model; the answer has an item for each.
func (m *Aligned) measure(ctx context.Context, prompts []miniworld.Prompt, o AlignOptions) (map[float64][]Scores, error) {
	out := map[float64][]Scores{}
	total := len(prompts) * len(m.Open) * len(o.Guidance)
	for k, open := range m.Open {
		p, err := open(ctx)
		if err != nil {
			return nil, err
		}
		for i, w := range o.Guidance {
			req := m.Request(w)
			opt := Options{Steps: o.Steps, Seed: o.Seed + uint64(k), Request: &req, OnPicture: func(done, n int) {
				if o.OnPart != nil {
					o.OnPart(m.Name, (k*len(o.Guidance)+i)*n+done, total)
				}
			}}
			e, err := Measure(ctx, p, prompts, opt, o.Reward)
			if err != nil {
				return nil, errors.Join(err, p.Close())
			}
			out[w] = append(out[w], e)
		}
		if err := p.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// MeanScores are the means over seeds, prompt by prompt.
func MeanScores(seeds []Scores) Scores {
	sum := Scores{}
	for _, e := range seeds {
		for name, v := range e {
			if sum[name] == nil {
				sum[name] = make([]float64, len(v))
			}
			for i, x := range v {
				sum[name][i] += x / float64(len(seeds))
			}
		}
	}
	return sum
}

// Measure draws one picture per prompt and judges it, by a reward, too, where one is given.
func Measure(ctx context.Context, p *diffusion.Pipeline, prompts []miniworld.Prompt, opt Options, reward RewardFunc) (Scores, error) {
	e := Scores{}
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
	if reward == nil {
		return e, nil
	}
	e["reward"], err = reward(ctx, texts, pictures)
	return e, err
}

// withKinds adds the strict figure of each sort of prompt.
func (e Scores) withKinds(prompts []miniworld.Prompt) {
	for i, q := range prompts {
		name := "strict." + string(q.Spec.Kind)
		e[name] = append(e[name], e["strict"][i])
	}
}
