// Package diffusion turns prompts into pictures: it opens a model folder in diffusers' ONNX layout, or the embedded
// model, and runs its networks from Go samplers. No Python, no C.
//
// A seed means the same picture as in diffusers on a CPU: initial noise and the noise inside stochastic samplers are
// drawn as torch draws them, one generator per picture.
package diffusion

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"winnow/internal/kernel"
	"winnow/internal/ldm"
	"winnow/internal/ort"
)

// Mini is the name of the embedded model.
const Mini = ldm.Mini

// Options says how a pipeline runs. The zero value uses all cores.
type Options struct {
	Threads int          // 0 means one per core
	Logger  *slog.Logger // nil discards
	// Executor runs the networks: "" or "embedded", or "onnxruntime", with a provider where one is wanted, as in
	// "onnxruntime:cuda".
	Executor string
	// ORTLibrary is the shared library of ONNX Runtime, or the folder that holds it; "" searches.
	ORTLibrary string
	// LoRA are adapters of the U-Net and the text encoders, which add up.
	LoRA []LoRA
	// PAGLayers are the self-attentions of the U-Net that guidance "pag" does without: regular expressions, each in the name of one at
	// least, as diffusers' pag_applied_layers, such as "mid" or "down_blocks.1".
	PAGLayers []string
}

// Pipeline is a loaded text-to-image model. It is safe for concurrent use; runs take turns on the cores.
type Pipeline struct {
	ldm  *ldm.Pipeline
	pool *kernel.Pool
	name string
	once sync.Once

	pagLayers []string
}

// Open loads a model: a folder in diffusers ONNX layout (model_index.json, scheduler, tokenizer, text_encoder, unet,
// vae_decoder), or Mini. Weights are mapped into memory; the first Generate compiles the graphs.
func Open(ctx context.Context, dir string, opt *Options) (*Pipeline, error) {
	if opt == nil {
		opt = &Options{}
	}
	files, err := adapters(opt.LoRA)
	if err != nil {
		return nil, err
	}
	folder, err := ldm.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	exec, err := ort.Open(ctx, opt.Executor, opt.ORTLibrary, opt.Threads)
	if err != nil {
		return nil, err
	}
	pool := kernel.NewPool(opt.Threads)
	l, err := ldm.Open(ctx, folder, ldm.Options{Pool: pool, Executor: exec, Logger: opt.Logger, Adapters: files, Perturb: opt.PAGLayers})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &Pipeline{ldm: l, pool: pool, name: dir, pagLayers: slices.Clone(opt.PAGLayers)}, nil
}

// Close unmaps the weights and stops the workers. The pipeline must not be used afterwards. Calling it again does
// nothing.
func (p *Pipeline) Close() error {
	var err error
	p.once.Do(func() {
		err = p.ldm.Close()
		p.pool.Close()
	})
	return err
}

// Name is what the pipeline was opened by: a folder, or Mini.
func (p *Pipeline) Name() string { return p.name }

// Defaults are the settings that a Request's zero fields stand for.
type Defaults struct {
	Height, Width int // pixels
	Steps         int
	GuidanceScale float64
	Scheduler     string // diffusers class name
	Factor        int    // pixels per latent and side
	Multiple      int    // height and width are multiples of it
	Channels      int    // of the latents
	Reward        string // reward made for this model's pictures; "" when none is known
}

// Defaults returns the model's own settings.
func (p *Pipeline) Defaults() Defaults {
	d := p.ldm.Defaults
	out := Defaults{
		Height: d.Height, Width: d.Width, Steps: d.Steps, GuidanceScale: d.GuidanceScale,
		Factor: p.ldm.Factor, Multiple: p.ldm.Multiple, Channels: p.ldm.LatentChannels, Reward: d.Reward,
	}
	if s, err := p.scheduler(Request{}); err == nil {
		out.Scheduler = s.Config().Class
	}
	return out
}

// PromptTooLongError reports a prompt with more tokens than the model's text encoder reads. Request.Truncate drops the
// rest instead.
type PromptTooLongError struct {
	Prompt        string
	Tokens, Limit int    // with start and end token
	Dropped       string // text that does not fit
	err           error
}

func (e *PromptTooLongError) Error() string { return e.err.Error() }

// public turns errors of internal packages that a caller may want to tell apart into this package's own types.
func public(err error) error {
	var long *ldm.PromptTooLongError
	if errors.As(err, &long) {
		return &PromptTooLongError{Prompt: long.Prompt, Tokens: long.Tokens, Limit: long.Limit, Dropped: long.Dropped, err: err}
	}
	return err
}
