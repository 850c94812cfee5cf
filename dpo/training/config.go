package training

import (
	"errors"
	"fmt"
	"log/slog"

	"winnow/dpo"
	"winnow/internal/optim"
)

// Config is what a run is told. Numbers are zero where the default is meant, unless their comment says otherwise.
type Config struct {
	Method   string // of dpo.Methods
	Settings dpo.Settings

	// The adapters.
	Rank    int      // 8
	Alpha   float64  // as large as the rank
	Targets []string // target_modules of PEFT; to_q, to_k, to_v, to_out.0
	Ranks   map[string]int
	Init    string // "kaiming" (PEFT's own), "gaussian" (diffusers' scripts) or "orthogonal"
	// Rescale "rslora" scales by alpha/√rank instead of alpha/rank.
	RSLoRA bool

	// The optimiser.
	Optimizer    string  // adamw
	LearningRate float64 // 1e-4
	ScaleLR      bool    // times batch size and accumulation, as the papers' scripts do
	Schedule     string  // constant_with_warmup
	Warmup       int     // steps
	MaxGradNorm  float64 // 1; negative: gradients are not clipped
	Beta1, Beta2 float64 // the optimiser's own
	Epsilon      float64 // the optimiser's own
	WeightDecay  float64 // the optimiser's own; negative: none
	EMA          float64 // largest decay of an average of the factors, which is what is saved then; 0: none

	// The batches.
	Steps        int // 1000
	BatchSize    int // pairs a step; 4. For siblings prompts
	Accumulation int // batches a step, 1
	Seed         uint64
	Dropout      float64 // share of pairs that see no prompt
	SNRGamma     float64 // min-SNR weighting of errors, 0: none
	Checkpoint   bool    // compute activations again in the way back

	// The pictures.
	Size        Size // the model's own
	Buckets     bool // pictures keep their aspect ratio, about
	SkipBadRows bool
	Truncate    bool   // cut prompts that are too long
	Images      string // folder that relative paths in data sets start from
	Mode        bool   // latents are the mean of what the encoder says, instead of a draw from it

	Inversion Inversion
	Siblings  Siblings

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
}

// Siblings are the settings of methods that learn from siblings: samples of one step of the policy's own sampler.
type Siblings struct {
	Steps    int     // of the sampler, 20
	Learn    int     // steps of each path that are learnt from, 5
	Guidance float64 // guidance scale in paths and in training; 5
	Count    int     // siblings of a step, of which the best and the worst are learnt from; 2
	Continue string  // "random" (default), "chosen" or "rejected" sibling is where a path goes on
	Gradient float64 // TailorPO-G: step along the gradient of the reward before siblings are ranked, 0: none
	Prompts  []string
	Reward   Reward `json:"-"`
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
	word(&c.Init, "kaiming")
	word(&c.Optimizer, "adamw")
	number(&c.LearningRate, 1e-4)
	word(&c.Schedule, "constant_with_warmup")
	number(&c.MaxGradNorm, 1)
	set(&c.Steps, 1000)
	set(&c.BatchSize, 4)
	set(&c.Accumulation, 1)
	set(&c.Inversion.Steps, 10)
	word(&c.Inversion.Method, "renoise")
	set(&c.Siblings.Steps, 20)
	set(&c.Siblings.Learn, 5)
	number(&c.Siblings.Guidance, 5)
	set(&c.Siblings.Count, 2)
	word(&c.Siblings.Continue, "random")
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

// check refuses what cannot work.
func (c *Config) check() error {
	var errs []error
	bad := func(flag string, value any, why string) {
		errs = append(errs, fmt.Errorf("--%s %v: %s", flag, value, why))
	}
	for flag, v := range map[string]int{
		"rank": c.Rank, "max-train-steps": c.Steps, "train-batch-size": c.BatchSize, "gradient-accumulation-steps": c.Accumulation,
		"inversion-steps": c.Inversion.Steps, "sibling-steps": c.Siblings.Steps, "sibling-learn": c.Siblings.Learn,
	} {
		if v < 1 {
			bad(flag, v, "want 1 or more")
		}
	}
	switch {
	case c.Alpha <= 0:
		bad("lora-alpha", c.Alpha, "want a number above 0")
	case !(c.LearningRate > 0):
		bad("learning-rate", c.LearningRate, "want a number above 0")
	case c.Dropout < 0 || c.Dropout > 1:
		bad("prompt-dropout", c.Dropout, "want a share from 0 to 1")
	case c.SNRGamma < 0:
		bad("snr-gamma", c.SNRGamma, "want 0 or more")
	case c.EMA < 0 || c.EMA >= 1:
		bad("ema-decay", c.EMA, "want 0 to below 1")
	case c.Warmup < 0:
		bad("lr-warmup-steps", c.Warmup, "want 0 or more")
	case c.Siblings.Count < 2:
		bad("sibling-count", c.Siblings.Count, "want 2 or more")
	case c.Siblings.Learn > c.Siblings.Steps:
		bad("sibling-learn", c.Siblings.Learn, "want no more than there are steps")
	case c.Siblings.Continue != "random" && c.Siblings.Continue != "chosen" && c.Siblings.Continue != "rejected":
		bad("sibling-continue", c.Siblings.Continue, "want random, chosen or rejected")
	}
	return errors.Join(errs...)
}
