// Package minibench measures a text-to-image pipeline on the mini world: it draws pictures for prompts whose content
// is known, and the exact checker says how much of it is there. The figures of the embedded model come from here.
package minibench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"winnow/assets"
	"winnow/diffusion"
	"winnow/internal/miniworld"
	"winnow/internal/rng"
)

// Options says how to measure.
type Options struct {
	Steps     int     // sampling steps; 0 means 25
	Guidance  float64 // classifier-free guidance scale; 0 means the model's default
	Scheduler string  // "" keeps the model's own
	Seed      uint64  // all initial noise comes from one torch stream with this seed, prompt after prompt
	Batch     int     // pictures per network call; 0 means 16
	// Request, where given, says how pictures are made instead of Guidance and Scheduler.
	Request   *diffusion.Request
	OnPicture func(done, total int)
}

// Figure is a mean over prompts with a 95 % percentile bootstrap interval.
type Figure struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func (f Figure) String() string { return fmt.Sprintf("%.3f [%.3f, %.3f]", f.Mean, f.Low, f.High) }

// Signed is the text of a difference.
func (f Figure) Signed() string { return fmt.Sprintf("%+.3f [%+.3f, %+.3f]", f.Mean, f.Low, f.High) }

// Report holds the checker's figures for one guidance scale.
type Report struct {
	Prompts       int             `json:"prompts"`
	Steps         int             `json:"steps"`
	GuidanceScale float64         `json:"guidance_scale"`
	Strict        Figure          `json:"strict"` // every assertion of the prompt holds
	Frac          Figure          `json:"frac"`   // share of assertions that hold
	Clean         Figure          `json:"clean"`  // sharp edges and flat areas, 0 to 1
	Score         Figure          `json:"score"`  // frac + 0.3·clean
	StrictByKind  map[string]Kind `json:"strict_by_kind"`
}

// Kind is the figure of one sort of prompt.
type Kind struct {
	Figure
	Prompts int `json:"prompts"`
}

// Prompts reads the first n prompts of an embedded set; 0 is all of them.
func Prompts(set string, n int) ([]miniworld.Prompt, error) {
	data, err := assets.MiniPrompts(set)
	if err != nil {
		return nil, err
	}
	prompts, err := miniworld.ReadPrompts(bytes.NewReader(data))
	if err == nil && n > 0 && n < len(prompts) {
		prompts = prompts[:n]
	}
	return prompts, err
}

// Run draws one picture per prompt and scores it. Noise, sampler and checker are those of assets/mini/train/evaluate.py,
// so its figures must come out again.
func Run(ctx context.Context, p *diffusion.Pipeline, prompts []miniworld.Prompt, opt Options) (Report, error) {
	results := make([]miniworld.Result, 0, len(prompts))
	opt.fill(p)
	err := Draw(ctx, p, prompts, opt, func(_ int, _ diffusion.Image, r miniworld.Result) error {
		results = append(results, r)
		return nil
	})
	if err != nil {
		return Report{}, err
	}
	return summarise(prompts, results, opt), nil
}

func (o *Options) fill(p *diffusion.Pipeline) {
	if o.Steps == 0 {
		o.Steps = 25
	}
	if o.Guidance == 0 {
		o.Guidance = p.Defaults().GuidanceScale
	}
	if o.Batch == 0 {
		o.Batch = 16
	}
}

// Draw draws one picture per prompt and hands it with the checker's verdict to use, in order.
func Draw(ctx context.Context, p *diffusion.Pipeline, prompts []miniworld.Prompt, opt Options, use func(prompt int, im diffusion.Image, r miniworld.Result) error) error {
	opt.fill(p)
	d := p.Defaults()
	size := d.Channels * (d.Height / d.Factor) * (d.Width / d.Factor)
	noise := make([]float32, len(prompts)*size)
	rng.New(opt.Seed).Normal(noise)
	for first := 0; first < len(prompts); first += opt.Batch {
		part := prompts[first:min(first+opt.Batch, len(prompts))]
		images, err := draw(ctx, p, part, noise[first*size:(first+len(part))*size], opt)
		if err != nil {
			return err
		}
		for i, im := range images {
			r, err := miniworld.Check(im, part[i].Spec)
			if err != nil {
				return fmt.Errorf("prompt %q: %w", part[i].Text, err)
			}
			if err := use(first+i, im, r); err != nil {
				return err
			}
		}
		if opt.OnPicture != nil {
			opt.OnPicture(first+len(part), len(prompts))
		}
	}
	return nil
}

func draw(ctx context.Context, p *diffusion.Pipeline, prompts []miniworld.Prompt, noise []float32, opt Options) ([]diffusion.Image, error) {
	req := diffusion.Request{
		Steps: opt.Steps, GuidanceScale: opt.Guidance, Scheduler: opt.Scheduler, Seed: opt.Seed,
		Latents: noise, BatchSize: len(prompts),
	}
	if opt.Request != nil {
		other := *opt.Request
		other.Steps, other.Seed, other.Latents, other.BatchSize = req.Steps, req.Seed, req.Latents, req.BatchSize
		req = other
	}
	for _, q := range prompts {
		req.Prompts = append(req.Prompts, q.Text)
	}
	return p.Generate(ctx, req)
}

func summarise(prompts []miniworld.Prompt, results []miniworld.Result, opt Options) Report {
	pick := func(of func(miniworld.Result) float64) []float64 {
		v := make([]float64, len(results))
		for i, r := range results {
			v[i] = of(r)
		}
		return v
	}
	strict := pick(func(r miniworld.Result) float64 {
		if r.Strict {
			return 1
		}
		return 0
	})
	out := Report{
		Prompts: len(prompts), Steps: opt.Steps, GuidanceScale: opt.Guidance, Strict: Interval(strict),
		Frac:         Interval(pick(func(r miniworld.Result) float64 { return r.Frac })),
		Clean:        Interval(pick(func(r miniworld.Result) float64 { return r.Clean })),
		Score:        Interval(pick(func(r miniworld.Result) float64 { return r.Score })),
		StrictByKind: map[string]Kind{},
	}
	byKind := map[string][]float64{}
	for i, q := range prompts {
		kind := string(q.Spec.Kind)
		byKind[kind] = append(byKind[kind], strict[i])
	}
	for kind, v := range byKind {
		out.StrictByKind[kind] = Kind{Interval(v), len(v)}
	}
	return out
}

// resamples is the number of bootstrap resamples.
const resamples = 2000

// Interval is the mean of v with its 95 % percentile bootstrap interval. It always draws the same resamples.
func Interval(v []float64) Figure {
	r := rand.New(rand.NewPCG(1, uint64(len(v))))
	means := make([]float64, resamples)
	for k := range means {
		var sum float64
		for range v {
			sum += v[r.IntN(len(v))]
		}
		means[k] = sum / float64(len(v))
	}
	slices.Sort(means)
	return Figure{
		Mean: stat.Mean(v, nil),
		Low:  stat.Quantile(.025, stat.LinInterp, means, nil),
		High: stat.Quantile(.975, stat.LinInterp, means, nil),
	}
}
