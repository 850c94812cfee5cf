package training

import (
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"

	"winnow/dpo"
	"winnow/internal/optim"
	"winnow/sampling"
)

// Config is what a run is told. Numbers are zero where the default is meant, unless their comment says otherwise.
type Config struct {
	Method   string // of dpo.Methods
	Settings dpo.Settings

	// The adapters.
	Rank    int            // 8
	Alpha   float64        // as large as the rank
	Targets []string       // target_modules of PEFT; to_q, to_k, to_v, to_out.0
	Ranks   map[string]int // of the denoiser's modules
	Init    string         // "kaiming" (PEFT's own), "gaussian" (diffusers' scripts) or "orthogonal" (even ranks)
	// InitFrom is an adapter file, or a folder with one, whose factors the training begins with; its modules must be among those that
	// are trained, and its ranks theirs. "": fresh ones.
	InitFrom string
	// RSLoRA scales by alpha/√rank instead of alpha/rank.
	RSLoRA bool
	// TrainText trains adapters of the text encoders, too, of the same rank.
	TrainText   bool
	TextTargets []string // q_proj, k_proj, v_proj, out_proj

	// The optimiser.
	Optimizer    string  // adamw
	LearningRate float64 // 1e-4
	ScaleLR      bool    // times batch size and accumulation, as the papers' scripts do
	Schedule     string  // constant_with_warmup
	Warmup       int     // steps
	MaxGradNorm  float64 // 1; −1: gradients are not clipped
	Beta1, Beta2 float64 // the optimiser's own
	Epsilon      float64 // the optimiser's own
	WeightDecay  float64 // the optimiser's own; −1: none
	EMA          float64 // largest decay of an average of the factors, which is what is saved then; 0: none

	// The batches.
	Steps        int // 1000
	BatchSize    int // pairs a step; 4. For siblings prompts
	Accumulation int // batches a step, 1
	Seed         uint64
	Dropout      float64 // share of pairs that see no prompt
	SNRGamma     float64 // min-SNR weighting of errors, 0: none
	// TimestepSampling is how often noise levels are drawn: "uniform", "logit-normal", with LogitMean and LogitStd, or "geometric", with
	// LevelDecay. The default is the method's, or what the kind of model was published with: logit-normal for flows, else uniform.
	TimestepSampling    string
	LogitMean, LogitStd float64 // 0 and 1; a larger mean means more noise
	LevelDecay          float64 // 0.9: from bin to bin of 50 timesteps, the noisiest first
	TimestepWeighting   string  // of errors: "none", or "inverse-snr", from 1 at the least noise to 2 at the most; the method's own
	Checkpoint          bool    // compute activations again in the way back

	// The pictures.
	Size        Size // the model's own
	Buckets     bool // pictures keep their aspect ratio, about
	RandomFlip  bool // mirror half of the pairs, drawn anew in every epoch, both pictures alike
	SkipBadRows bool
	Truncate    bool   // cut prompts that are too long
	Images      string // folder that relative paths in data sets start from
	Mode        bool   // latents are the mean of what the encoder says, instead of a draw from it

	Inversion Inversion
	Siblings  Siblings
	Reference Reference
	Self      Self
	Selection Selection

	Threads    int          // 0 means one per core
	Executor   string       // "" or "embedded", or "onnxruntime", with a provider where one is wanted
	ORTLibrary string       // of ONNX Runtime; "" searches
	Logger     *slog.Logger // nil discards
}

// Inversion are the settings of methods that invert pictures.
type Inversion struct {
	Steps      int    // levels of the grid, 10
	Method     string // of sampling.InvertMethods; "renoise" as published
	Iterations int    // of the method, its own default
	// Noise adds to each step this share of what DDPM draws on the way back (InPO); the method's own default, −1: none.
	Noise float64
}

func (c *Config) defaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	number := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	word := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&c.Rank, 8)
	number(&c.Alpha, float64(c.Rank))
	if c.Targets == nil {
		c.Targets = []string{"to_q", "to_k", "to_v", "to_out.0"}
	}
	if c.TextTargets == nil {
		c.TextTargets = []string{"q_proj", "k_proj", "v_proj", "out_proj"}
	}
	word(&c.Init, "kaiming")
	word(&c.Optimizer, "adamw")
	number(&c.LearningRate, 1e-4)
	word(&c.Schedule, "constant_with_warmup")
	number(&c.LogitStd, 1)
	number(&c.LevelDecay, defaultLevelDecay)
	number(&c.MaxGradNorm, 1)
	set(&c.Steps, 1000)
	set(&c.BatchSize, 4)
	set(&c.Accumulation, 1)
	set(&c.Inversion.Steps, 10)
	m, _ := dpo.FindMethod(c.Method) // of methods that are not known all defaults are 0
	word(&c.Inversion.Method, m.Inversion)
	word(&c.Inversion.Method, "renoise")
	number(&c.Inversion.Noise, m.InversionNoise)
	set(&c.Self.Steps, 20)
	set(&c.Self.Snapshots, m.Snapshots)
	c.Siblings.defaults(m.Own)
}

// optimiser gives the optimiser's constants.
func (c *Config) optimiser() optim.Options {
	o := optim.DefaultOptions(c.Optimizer)
	for _, v := range []struct {
		to    *float64
		value float64
	}{{&o.Beta1, c.Beta1}, {&o.Beta2, c.Beta2}, {&o.Eps, c.Epsilon}, {&o.WeightDecay, c.WeightDecay}} {
		if v.value != 0 {
			*v.to = v.value
		}
	}
	o.WeightDecay = max(o.WeightDecay, 0)
	return o
}

// Check refuses what cannot work, as *SettingError, without looking at a model or at data. Zero values are the defaults.
func (c Config) Check() error {
	m, err := dpo.FindMethod(c.Method)
	if err != nil {
		return named(err)
	}
	c.defaults()
	m = m.With(c.Settings)
	c.moves(&m)
	if _, err := m.New(c.Settings); err != nil {
		return named(err)
	}
	errs := []error{c.Reference.check(&m), c.checkCounts(), c.checkNumbers(), c.checkNames(), c.Siblings.check(m), c.checkSelection(&m)}
	if c.Inversion.Iterations != 0 || m.Kind == dpo.KindInversion {
		o := sampling.InvertOptions{Method: c.Inversion.Method, Iterations: c.Inversion.Iterations}
		if err := o.Check(); err != nil {
			errs = append(errs, setting("inversion-iterations", c.Inversion.Iterations, "%w", err))
		}
	}
	return errors.Join(errs...)
}

// named is an error of package dpo, which names the flag itself.
func named(err error) error {
	return &SettingError{Err: errors.New(strings.TrimPrefix(err.Error(), "dpo: "))}
}

// count is an integer setting with its bounds.
type count struct {
	flag       string
	value      int
	least, top int
}

func (c *Config) checkCounts() error {
	const many = 1 << 30
	all := []count{
		{"rank", c.Rank, 1, 1 << 14},
		{"max-train-steps", c.Steps, 1, many},
		{"train-batch-size", c.BatchSize, 1, 1 << 16},
		{"gradient-accumulation-steps", c.Accumulation, 1, 1 << 20},
		{"lr-warmup-steps", c.Warmup, 0, many},
		{"inversion-steps", c.Inversion.Steps, 1, 1000},
		{"self-steps", c.Self.Steps, 1, 1000},
		{"snapshot-steps", c.Self.Snapshots, 0, many},
		{"height", c.Size.Height, 0, 1 << 14},
		{"width", c.Size.Width, 0, 1 << 14},
		{"threads", c.Threads, 0, 1 << 12},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Ranks)) {
		all = append(all, count{"rank-pattern", c.Ranks[name], 1, 1 << 14})
	}
	return checkCounts(all)
}

// checkCounts refuses counts that are out of their bounds.
func checkCounts(all []count) error {
	var errs []error
	for _, v := range all {
		switch {
		case v.value < v.least:
			errs = append(errs, setting(v.flag, v.value, "want %d or more", v.least))
		case v.value > v.top:
			errs = append(errs, setting(v.flag, v.value, "want at most %d", v.top))
		}
	}
	return errors.Join(errs...)
}

// checkNumbers refuses what is out of range; no number is in any.
func (c *Config) checkNumbers() error {
	const most = math.MaxFloat32
	var errs []error
	for _, v := range []struct {
		flag  string
		value float64
		ok    bool
		want  string
	}{
		{"lora-alpha", c.Alpha, c.Alpha > 0 && c.Alpha <= most, "a number above 0"},
		{"learning-rate", c.LearningRate, c.LearningRate > 0 && c.LearningRate <= most, "a number above 0"},
		{"prompt-dropout", c.Dropout, c.Dropout >= 0 && c.Dropout <= 1, "a share from 0 to 1"},
		{"snr-gamma", c.SNRGamma, c.SNRGamma >= 0 && c.SNRGamma <= most, "0, for none, or more"},
		{"logit-mean", c.LogitMean, math.Abs(c.LogitMean) <= 100, "a number from -100 to 100"},
		{"logit-std", c.LogitStd, c.LogitStd > 0 && c.LogitStd <= 100, "a number above 0, at most 100"},
		{"inversion-noise", c.Inversion.Noise, c.Inversion.Noise >= 0 && c.Inversion.Noise <= 1 || c.Inversion.Noise == -1, "0, for none, to 1"},
		{"self-guidance", c.Self.Guidance, c.Self.Guidance == 0 || c.Self.Guidance >= 1 && c.Self.Guidance <= most, "1, for no guidance, or more"},
		{"level-decay", c.LevelDecay, c.LevelDecay > 0 && c.LevelDecay <= 1, "a number above 0, at most 1"},
		{"ema-decay", c.EMA, c.EMA >= 0 && c.EMA < 1, "0, for none, to below 1"},
		{"adam-beta1", c.Beta1, c.Beta1 >= 0 && c.Beta1 < 1, "0 to below 1"},
		{"adam-beta2", c.Beta2, c.Beta2 >= 0 && c.Beta2 < 1, "0 to below 1"},
		{"adam-epsilon", c.Epsilon, c.Epsilon >= 0 && c.Epsilon <= most, "a number above 0"},
		{"adam-weight-decay", c.WeightDecay, c.WeightDecay >= 0 && c.WeightDecay <= most || c.WeightDecay == -1, "0, for none, or more"},
		{"max-grad-norm", c.MaxGradNorm, c.MaxGradNorm > 0 && c.MaxGradNorm <= most || c.MaxGradNorm == -1, "0, for no clipping, or more"},
	} {
		if !v.ok {
			errs = append(errs, setting(v.flag, v.value, "want %s", v.want))
		}
	}
	return errors.Join(errs...)
}

// checkNames refuses words that are not among those there are.
func (c *Config) checkNames() error {
	var errs []error
	for _, v := range []struct {
		flag, value string
		known       []string
	}{
		{"optimizer", c.Optimizer, optim.Names()},
		{"lr-scheduler", c.Schedule, optim.ScheduleNames()},
		{"init-lora-weights", c.Init, inits},
		{"timestep-sampling", c.TimestepSampling, []string{"", uniformLevels, logitNormalLevels, geometricLevels}},
		{"timestep-weighting", c.TimestepWeighting, []string{"", "none", inverseSNR}},
		{"inversion-method", c.Inversion.Method, sampling.InvertMethods()},
	} {
		if !slices.Contains(v.known, v.value) {
			errs = append(errs, setting(v.flag, v.value, "is not known; there are %s", strings.TrimPrefix(strings.Join(v.known, ", "), ", ")))
		}
	}
	for _, v := range []struct {
		flag    string
		targets []string
		example string
	}{{"target-modules", c.Targets, "to_q,to_k"}, {"text-encoder-target-modules", c.TextTargets, "q_proj,v_proj"}} {
		if len(v.targets) == 0 || slices.Contains(v.targets, "") {
			errs = append(errs, setting(v.flag, strings.Join(v.targets, ","), "a name is empty; want ends of module names, as in %s", v.example))
		}
	}
	return errors.Join(errs...)
}
