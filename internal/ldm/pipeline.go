// Package ldm is latent diffusion as one assembly: tokenizers, text encoders, denoiser, VAE and scheduler settings of a
// model folder, each driven by its ONNX graph. It knows how the parts fit together and nothing of sampling loops.
package ldm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
	"winnow/internal/tokenizer"
	"winnow/sampling"
)

// Options says how the networks run.
type Options struct {
	Pool     *kernel.Pool   // nil runs serially
	Executor graph.Executor // nil is the embedded one
	Logger   *slog.Logger   // nil discards
	Adapters []AdapterFile
	// Initial is an adapter file whose factors the trainable adapters may begin with; it is only read, see Pipeline.Initial.
	Initial string
	// Trainable are adapters of the denoiser whose factors the caller fills in and changes between calls.
	Trainable []lora.Adapter
	// TrainableText are adapters of every text encoder, likewise.
	TrainableText []lora.Adapter
	Perturb       []string // self-attentions of the denoiser that Cond.Perturbed rows do without, see lora.Perturb
	Features      bool     // Pipeline.Features is wanted
}

// Pipeline is a loaded model folder. It is safe for concurrent use.
type Pipeline struct {
	Folder    model.Folder
	ClassName string // _class_name of model_index.json
	XL        bool   // two text encoders, pooled embeddings and size conditioning
	SD3       bool   // two text encoders of CLIP and perhaps one of T5, pooled embeddings, and a transformer
	Denoiser  string // component: lora.UNet or lora.Transformer
	Defaults  Defaults

	Scheduler      sampling.Config // of scheduler_config.json, with the corrections that diffusers' pipeline makes
	LatentChannels int
	Factor         int      // pixels per latent and side
	Multiple       int      // sides of pictures are multiples of it: Factor, times the latents per token of a transformer
	toDecoder      []affine // per latent channel
	forceZeros     bool
	Adapters       []Adapter
	Trainable      []*Trainable
	Initial        map[string]*lora.Weights // of the networks that the file Options.Initial is about
	Perturbed      []string                 // self-attentions that Options.Perturb chose

	tokenizers []*tokenizer.CLIP
	texts      []*model.Model
	maxTokens  []int
	t5         t5
	denoiser   *model.Model
	frozen     *model.Model // the denoiser without trainable adapters, nil where there are none
	features   *model.Model // the denoiser up to its middle without any adapter, nil where features are not wanted
	feature    string       // its output
	seeing     bool
	ports      denoiserPorts
	wanted     []AdapterFile
	trainable  []lora.Adapter
	ofTexts    []lora.Adapter // trainable, too
	perturb    []string
	initial    string
	factors    map[string]map[string]tensor.Tensor // inputs of networks, of all adapters, by component
	decoder    *model.Model
	encoder    *model.Model // nil when the folder has none
	log        *slog.Logger
	fraction   sync.Once // the warning about cut timesteps

	evaluations, looks atomic.Int64 // rows through the denoiser, and through its first half
}

// Open loads the networks of a folder. Weights are mapped, not read, so this is quick; graphs are compiled at first use.
func Open(_ context.Context, f model.Folder, opt Options) (*Pipeline, error) {
	p := &Pipeline{Folder: f, log: opt.Logger, wanted: opt.Adapters, trainable: opt.Trainable, ofTexts: opt.TrainableText, perturb: opt.Perturb, initial: opt.Initial, seeing: opt.Features}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.load(&model.Options{Pool: opt.Pool, Executor: opt.Executor}); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pipeline) load(opt *model.Options) error {
	var idx index
	found, err := p.Folder.ReadJSON("model_index.json", &idx)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%s is missing: a model folder has model_index.json, scheduler/, tokenizer/, text_encoder/, unet/ and vae_decoder/",
			p.Folder.Path("model_index.json"))
	case unsupported(idx.ClassName):
		return fmt.Errorf("%s: pipeline class %s is not one of the Stable Diffusion 1, 2, XL and 3 text-to-image classes",
			p.Folder.Path("model_index.json"), idx.ClassName)
	}
	p.ClassName, p.XL, p.SD3, p.Denoiser = idx.ClassName, isXL(idx.ClassName), isSD3(idx.ClassName), lora.UNet
	if p.SD3 {
		p.Denoiser = lora.Transformer
	}
	p.forceZeros = p.XL && (idx.ForceZerosEmptyPrompt == nil || *idx.ForceZerosEmptyPrompt)
	for _, step := range []func(*model.Options) error{p.loadScheduler, p.loadText, p.loadDenoiser, p.loadT5, p.loadFeatures, p.loadAdapters, p.loadVAE, p.loadDefaults} {
		if err := step(opt); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pipeline) loadScheduler(*model.Options) error {
	const name = "scheduler/scheduler_config.json"
	data, err := p.Folder.ReadFile(name)
	if err != nil {
		return err
	}
	cfg, err := sampling.ReadConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", p.Folder.Path(name), err)
	}
	if !p.XL && !p.SD3 {
		cfg = cfg.PatchStableDiffusion()
	}
	p.Scheduler = cfg
	return nil
}

func (p *Pipeline) loadVAE(opt *model.Options) error {
	var cfg vaeConfig
	for _, name := range []string{"vae/config.json", "vae_decoder/config.json"} {
		if found, err := p.Folder.ReadJSON(name, &cfg); err != nil {
			return err
		} else if found {
			break
		}
	}
	if p.SD3 {
		cfg.fillSD3()
	}
	p.Factor, p.LatentChannels = cfg.factor(), cfg.LatentChannels
	var err error
	if p.decoder, err = network(p.Folder, "vae_decoder", opt); err != nil {
		return err
	}
	in := p.decoder.Inputs()
	if len(in) != 1 || len(in[0].Shape) != 4 {
		return fmt.Errorf("%s: want one input [batch, channels, height, width], got %v", p.decoder.Path(), in)
	}
	if c := in[0].Shape[1]; c > 0 {
		p.LatentChannels = c
	}
	if p.LatentChannels <= 0 {
		p.LatentChannels = 4
	}
	if p.toDecoder, err = cfg.channels(p.XL, p.LatentChannels); err != nil {
		return fmt.Errorf("%s: %w", p.Folder.Path("vae_decoder/config.json"), err)
	}
	if !p.Folder.Has("vae_encoder/model.onnx") {
		return nil
	}
	p.encoder, err = network(p.Folder, "vae_encoder", opt)
	return err
}

// loadDefaults fills Defaults from the networks, then from winnow.json where that names a value.
func (p *Pipeline) loadDefaults(*model.Options) error {
	var unet unetConfig
	if _, err := p.Folder.ReadJSON(p.Denoiser+"/config.json", &unet); err != nil {
		return err
	}
	p.Multiple = p.Factor
	if p.SD3 {
		p.Multiple *= max(1, cmp.Or(unet.PatchSize, 2))
	}
	h, w := unet.sampleSize()
	p.Defaults = Defaults{Steps: 50, GuidanceScale: 7.5, Height: h * p.Factor, Width: w * p.Factor}
	switch {
	case p.XL:
		p.Defaults.GuidanceScale = 5
	case p.SD3:
		p.Defaults.Steps, p.Defaults.GuidanceScale = 28, 7
	}
	_, err := p.Folder.ReadJSON("winnow.json", &p.Defaults)
	if err == nil && (p.Defaults.Steps < 1 || p.Defaults.GuidanceScale < 0 || p.Defaults.Height < 1 || p.Defaults.Width < 1) {
		return fmt.Errorf("%s: steps, height and width must be at least 1 and guidance_scale not negative", p.Folder.Path("winnow.json"))
	}
	return err
}

// Networks lists the loaded networks by component name, in the order of the pipeline.
func (p *Pipeline) Networks() []*model.Model {
	all := append([]*model.Model{}, p.texts...)
	for _, m := range []*model.Model{p.t5.net, p.denoiser, p.decoder, p.encoder} {
		if m != nil {
			all = append(all, m)
		}
	}
	return all
}

// CheckFinite searches the weights of every network for NaN and infinity, and names the first tensor that holds one.
func (p *Pipeline) CheckFinite() error {
	for _, m := range p.Networks() {
		if err := m.File().CheckFinite(); err != nil {
			return err
		}
	}
	return nil
}

// Close unmaps every network.
func (p *Pipeline) Close() error {
	var errs []error
	for _, m := range []*model.Model{p.frozen, p.features} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	for _, m := range p.Networks() {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// component is the folder of a numbered component: text_encoder, text_encoder_2, ….
func component(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s_%d", name, i+1)
}

// Evaluations counts what the denoiser has done so far: one for each row of a call, three where the way back is gone, too. Features are half
// of that: the way to the middle is less than half of a U-Net's work.
func (p *Pipeline) Evaluations() int64 { return p.evaluations.Load() + p.looks.Load()/2 }
