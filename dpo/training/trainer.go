package training

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"winnow/dpo"
	"winnow/internal/kernel"
	"winnow/internal/ldm"
	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/monitor"
	"winnow/internal/optim"
	"winnow/internal/ort"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// Trainer holds a model, the adapters that are trained on it and the optimiser. It is not safe for concurrent use.
type Trainer struct {
	config    Config
	method    dpo.Method
	objective dpo.Objective
	loss      dpo.LossInfo  // that the settings name; zero without
	seen      [][]dpo.Terms // of the step's batches
	soft      bool          // pairs carry soft labels
	draws     int           // per pair

	ldm            *ldm.Pipeline
	pool           *kernel.Pool
	scheduler      *sampling.Scheduler
	cache          *Cache
	identity       []byte // of the model
	origin         []byte // of cached numbers: the model, and what runs it
	size           Size
	oneTimestep    bool       // the network takes one for all rows of a call
	null           ldm.Embeds // no prompt as zeros, one row
	hidden, pooled []int      // shapes of the embeddings of a prompt; pooled is nil without

	params   []*optim.Param
	byName   map[string]*optim.Param
	network  map[string]string // that a factor belongs to
	optim    optim.Optimizer
	ema      *optim.EMA
	schedule optim.Schedule
	source   source
	fixed    []anchor // what the policy is measured against; see anchors
	moving   *moving  // nil: the reference stays
	// snapshots are earlier states of the policy, where it learns against those.
	snapshots [][][]float32
	done      int   // steps
	recalled  int64 // evaluations whose results the cache had, less those that a run does again when it goes on
	guard     monitor.GuardState
}

// Open loads a model, a folder in diffusers' ONNX layout with the encoder of the VAE, or [Mini], and puts fresh adapters on it. The
// cache is not closed with the trainer.
func Open(ctx context.Context, dir string, cache *Cache, c Config) (*Trainer, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	m, err := dpo.FindMethod(c.Method)
	if err != nil {
		return nil, err
	}
	m = m.With(c.Settings)
	c.defaults()
	c.moves(&m)
	t := &Trainer{config: c, method: m, cache: cache, size: c.Size, soft: m.UsesLabels(c.Settings.Loss)}
	if t.objective, err = m.New(c.Settings); err != nil {
		return nil, err
	}
	if len(m.Losses) > 0 {
		if t.loss, err = dpo.FindLoss(cmp.Or(c.Settings.Loss, m.Losses[0])); err != nil {
			return nil, err
		}
	}
	t.draws = max(1, m.Draws)
	if c.Settings.Draws > 0 {
		t.draws = c.Settings.Draws
	}
	from, err := ldm.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	exec, err := ort.Open(ctx, c.Executor, c.ORTLibrary, c.Threads)
	if err != nil {
		return nil, err
	}
	t.pool = kernel.NewPool(c.Threads)
	if t.ldm, err = ldm.Open(ctx, from, ldm.Options{
		Pool: t.pool, Executor: exec, Logger: c.Logger, Adapters: c.Reference.adapters(), Initial: c.InitFrom, Trainable: t.adapters(), TrainableText: t.textAdapters(), Features: m.Features,
	}); err != nil {
		t.pool.Close()
		return nil, t.adapterError(err)
	}
	if err := t.ready(ctx, from); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// adapterError names the flag where an adapter does not fit the network.
func (t *Trainer) adapterError(err error) error {
	var target *lora.TargetError
	var module *lora.ModuleError
	switch {
	case errors.As(err, &target) && !slices.Contains(t.method.Adapters, target.Adapter):
		return &SettingError{Flag: "text-encoder-target-modules", Err: err}
	case errors.As(err, &target):
		return &SettingError{Flag: "target-modules", Err: err}
	case errors.As(err, &module):
		return &SettingError{Flag: "rank-pattern", Err: err}
	}
	return err
}

// Mini is the name of the embedded model.
const Mini = ldm.Mini

func (t *Trainer) adapters() []lora.Adapter {
	var out []lora.Adapter
	for _, name := range t.method.Adapters {
		a := lora.Adapter{Name: name, Rank: t.config.Rank, Alpha: t.alpha(t.config.Rank), Targets: t.config.Targets, Ranks: t.config.Ranks, Alphas: map[string]float64{}}
		for module, rank := range t.config.Ranks {
			a.Alphas[module] = t.alpha(rank)
		}
		out = append(out, a)
	}
	return out
}

func (t *Trainer) ready(ctx context.Context, from model.Folder) error {
	var err error
	if t.scheduler, err = sampling.New(t.ldm.Scheduler); err != nil {
		return err
	}
	if err := errors.Join(t.fitPrediction(), t.fitFeatures()); err != nil {
		return err
	}
	t.oneTimestep = t.ldm.OneTimestep()
	t.size.Width, t.size.Height = cmp.Or(t.size.Width, t.ldm.Defaults.Width), cmp.Or(t.size.Height, t.ldm.Defaults.Height)
	if f := t.step(); t.size.Width%f != 0 || t.size.Height%f != 0 || t.size.Width < f || t.size.Height < f {
		return &SettingError{Err: fmt.Errorf("--width %d --height %d: want multiples of %d, what the model's VAE makes of one latent, or its transformer of one token", t.size.Width, t.size.Height, f)}
	}
	if !t.method.OwnPictures() && !t.ldm.CanEncode() {
		return fmt.Errorf("%s is missing: training on pictures needs the VAE's encoder; export it, too (assets/export/export_onnx.py does), or train a method that makes its own pictures, such as ddpo", from.Path("vae_encoder/model.onnx"))
	}
	if t.identity, err = identify(from.FS(), t.ldm.T5Tokens()); err != nil {
		return fmt.Errorf("%s: %w", from.Path(""), err)
	}
	t.origin = append(slices.Clone(t.identity), executorName(t.config.Executor)...)
	if t.null, err = t.ldm.EncodeNull(ctx, true); err != nil {
		return err
	}
	if t.hidden = t.null.Hidden.Shape[1:]; t.null.Pooled.DType != tensor.Invalid {
		t.pooled = t.null.Pooled.Shape[1:]
	}
	t.collect()
	if err := errors.Join(t.initialise(), t.warm(), t.fixReference()); err != nil {
		return err
	}
	t.moving = t.newMoving()
	if t.optim, err = optim.New(t.config.Optimizer, t.params, t.config.optimiser()); err != nil {
		return err
	}
	if t.config.EMA > 0 {
		if t.ema, err = optim.NewEMA(t.params, optim.EMAOptions{Decay: t.config.EMA}); err != nil {
			return err
		}
	}
	t.schedule, err = optim.NewSchedule(t.config.Schedule, t.config.Warmup, t.config.Steps, optim.ScheduleOptions{})
	return err
}

// collect makes parameters of the factors.
func (t *Trainer) collect() {
	t.byName, t.network = map[string]*optim.Param{}, map[string]string{}
	for _, a := range t.ldm.Trainable {
		for _, f := range a.Factors {
			p := &optim.Param{Name: f.Name, Shape: f.Shape, Value: f.Value, Grad: make([]float32, len(f.Value))}
			t.params = append(t.params, p)
			t.byName[f.Name], t.network[f.Name] = p, a.Network
		}
	}
}

// step is what the sides of training pictures are multiples of.
func (t *Trainer) step() int {
	return t.ldm.Multiple
}

// latents is the number of latents of a picture.
func (t *Trainer) latents(s Size) int {
	return t.ldm.LatentChannels * (s.Width / t.ldm.Factor) * (s.Height / t.ldm.Factor)
}

// momentsKey is where the latents of an encoded picture are kept, as it is or mirrored.
func (t *Trainer) momentsKey(picture [sha256.Size]byte, s Size, mirrored bool) Key {
	parts := [][]byte{t.origin, []byte("moments"), picture[:], fmt.Appendf(nil, "%dx%d", s.Width, s.Height)}
	if mirrored {
		parts = append(parts, []byte("mirrored"))
	}
	return keyOf(parts...)
}

// CheckPrompt refuses a prompt that the text encoders cannot read whole, unless Config.Truncate is set.
func (t *Trainer) CheckPrompt(prompt string) error {
	if t.config.Truncate {
		return nil
	}
	err := t.ldm.CheckPrompts([]string{prompt})
	var long *ldm.PromptTooLongError
	if errors.As(err, &long) {
		return fmt.Errorf("%w; --truncate drops it", err)
	}
	return err
}

// embed gives the text embeddings of prompts by the frozen encoders, one row each, from the cache where it has them. "" is no prompt.
func (t *Trainer) embed(ctx context.Context, prompts []string) (ldm.Embeds, error) {
	rows := make([]ldm.Embeds, len(prompts))
	for i, p := range prompts {
		e, err := t.embedOne(ctx, p)
		if err != nil {
			return ldm.Embeds{}, err
		}
		rows[i] = e
	}
	return ldm.Join(rows)
}

func (t *Trainer) embedOne(ctx context.Context, prompt string) (ldm.Embeds, error) {
	n, m := product(t.hidden), product(t.pooled)
	full := n // without the zeros at its end, which are megabytes where a large T5 is left out
	n -= t.ldm.EmptyTokens() * t.hidden[1]
	key := keyOf(t.origin, []byte("text"), []byte(prompt))
	v, ok, err := t.cache.Get(ctx, key, n+m)
	if err != nil {
		return ldm.Embeds{}, err
	}
	if !ok {
		e, err := t.ldm.EncodeRows(ctx, []string{prompt}, t.frozen(1))
		if err != nil {
			return ldm.Embeds{}, err
		}
		v = append(v[:0:0], e.Hidden.F32()[:n]...)
		if m > 0 {
			v = append(v, e.Pooled.F32()...)
		}
		if err := t.cache.Put(ctx, key, v); err != nil {
			return ldm.Embeds{}, err
		}
	}
	hidden := v[:n]
	if full > n {
		hidden = make([]float32, full)
		copy(hidden, v[:n])
	}
	e := ldm.Embeds{Hidden: tensor.FromF32(hidden, append([]int{1}, t.hidden...)...)}
	if m > 0 {
		e.Pooled = tensor.FromF32(v[n:], append([]int{1}, t.pooled...)...)
	}
	return e, nil
}

func product(v []int) int {
	if v == nil {
		return 0
	}
	n := 1
	for _, x := range v {
		n *= x
	}
	return n
}

// Close unmaps the model and stops the workers.
func (t *Trainer) Close() error {
	err := t.ldm.Close()
	t.pool.Close()
	return err
}
