package cli

import (
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/diffusion"
	"winnow/dpo/training"
	"winnow/internal/optim"
)

// trainOptions is the command line of train.
type trainOptions struct {
	method               string
	list                 bool
	model, output, cache string
	data                 []string
	config               string
	t                    training.Config
	ranks                map[string]int
	every, limit         int
	resume               string
	overwrite            bool
	prompts              string
	reward, rewardModel  []string
	references           []string
	validation           []string
	validationEvery      int
	validationSteps      int
	validationGuidance   float64
	tensorboard, noGuard bool
	lossOptions          []string
	maxGradNorm          float64
	executorOptions
	changed func(string) bool
	given   []string // names of flags that were given
}

func (a *app) trainCommand() *cobra.Command {
	o := &trainOptions{}
	c := &cobra.Command{
		Use:   "train METHOD",
		Short: "Train a LoRA on preferences",
		Long: `Train fits a LoRA of the model's denoiser, and with --train-text-encoder of its text encoders,
to preferences, and writes it in kohya's and in diffusers' layout (of Stable Diffusion 3 in the
latter alone), with checkpoints, metrics and previews beside it. Most methods learn from pairs: --data takes every set that "winnow data"
reads, such as the output of "winnow label". Of these seppo and spin look at the chosen pictures
alone, and set pictures of the policy's own earlier states against them. Methods tailorpo, spo, d3po,
ddpo and flow-grpo make their own pictures for --prompts and ask --reward. Methods ncp and ncp-sft
measure by features of the frozen U-Net in place of latents. Method kto also learns from pictures
that were labelled by themselves: JSON lines of "prompt", "image" and "label", 1 or 0. --list shows all methods with their
papers and what a unit of beta is, and all losses that --loss takes, with their formulas.

The same command goes on after a stop with --resume-from-checkpoint latest, bit for bit; where
there is no checkpoint yet it begins. A folder that holds a run is refused without that flag or
--overwrite. Ctrl-C saves a checkpoint first. Every run leaves train.yaml in --output, and
"winnow train --config train.yaml --output elsewhere" repeats it; a configuration file may hold
the method, too, as in "method: dpo". Files for published settings are in cmd/winnow/configs.

A row of --data that cannot be used ends the run with its file, row, column and cause, or is left
out and counted with --skip-bad-rows, and the exit code is 3 then. Ties are always left out.`,
		Example: `  winnow train --list
  winnow train dpo --data pairs.parquet --output aligned --max-train-steps 400
  winnow train dpo --data pairs.parquet --output aligned --resume-from-checkpoint latest
  winnow train --config cmd/winnow/configs/mini-dpo.yaml --data pairs.parquet --output aligned
  winnow train ddpo --prompts prompts.txt --reward checker --output aligned --sibling-steps 10
  winnow train kto --data liked.jsonl --output aligned --max-train-steps 400
  winnow train tailorpo --prompts prompts.txt --output aligned --learning-rate 5e-4
  winnow generate --lora aligned/aligned.safetensors "a red circle above a blue square"`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.changed = c.Flags().Changed
			c.Flags().Visit(func(f *pflag.Flag) { o.given = append(o.given, f.Name) })
			if o.list {
				return a.trainList()
			}
			if err := o.complete(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.train(c.Context(), o, c.Flags())
		},
	}
	f := c.Flags()
	f.SortFlags = false
	o.dataFlags(f)
	o.adapterFlags(f)
	o.optimiserFlags(f)
	o.methodFlags(f)
	o.referenceFlags(f)
	o.selfFlags(f)
	o.selectionFlags(f)
	o.watchFlags(f)
	c.AddCommand(a.trainOnlineCommand())
	return c
}

func (o *trainOptions) dataFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.list, "list", false, "list the methods")
	f.StringVar(&o.method, "method", "", "method, in place of the argument")
	f.StringVarP(&o.model, "model", "m", diffusion.Mini, "model folder in diffusers' ONNX layout, or \"mini\" (embedded)")
	f.StringArrayVar(&o.data, "data", nil, "preference set; may be repeated")
	f.StringVar(&o.t.Images, "images", "", "folder that relative picture paths start from (default: the set's own)")
	f.StringVarP(&o.output, "output", "o", "", "folder for adapters, checkpoints, metrics and the report")
	f.StringVar(&o.cache, "cache", "", "file that keeps latents, embeddings and reference errors for other runs (default: cache.sqlite in --output)")
	f.BoolVar(&o.t.SkipBadRows, "skip-bad-rows", false, "leave out rows that cannot be read, count them, and exit with 3")
	f.BoolVar(&o.t.Truncate, "truncate", false, "drop the end of a prompt that is too long instead of failing")
	f.IntVar(&o.t.Size.Height, "height", 0, "pixels (default: the model's)")
	f.IntVar(&o.t.Size.Width, "width", 0, "pixels (default: the model's)")
	f.BoolVar(&o.t.Buckets, "buckets", false, "keep aspect ratios: sizes of about the same area, each batch of one size")
	f.BoolVar(&o.t.RandomFlip, "random-flip", false, "mirror half of the pairs, drawn anew in every epoch, both pictures alike; not for prompts that tell left from right")
	f.BoolVar(&o.t.Mode, "latent-mode", false, "take the mean of the encoder's latents instead of drawing from them")
	f.IntVar(&o.t.Threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags; a run leaves train.yaml in --output")
}

func (o *trainOptions) adapterFlags(f *pflag.FlagSet) {
	f.IntVar(&o.t.Rank, "rank", 8, "rank of the LoRA")
	f.Float64Var(&o.t.Alpha, "lora-alpha", 0, "scale of the LoRA times its rank (default: the rank)")
	f.StringSliceVar(&o.t.Targets, "target-modules", []string{"to_q", "to_k", "to_v", "to_out.0"}, "modules that are adapted, by the ends of their names, or all-linear")
	f.StringToIntVar(&o.ranks, "rank-pattern", nil, "ranks of single modules of the denoiser by their whole names, as in mid_block.attentions.0.proj_in=4")
	f.BoolVar(&o.t.TrainText, "train-text-encoder", false, "also train a LoRA of the text encoders, of the same rank; slower, as nothing of theirs is cached")
	f.StringSliceVar(&o.t.TextTargets, "text-encoder-target-modules", []string{"q_proj", "k_proj", "v_proj", "out_proj"}, "modules of the text encoders that are adapted")
	f.StringVar(&o.t.Init, "init-lora-weights", "kaiming", "kaiming (PEFT's default), gaussian (diffusers' scripts) or orthogonal (PEFT's; even ranks)")
	f.StringVar(&o.t.InitFrom, "init-lora", "", "begin with this adapter, a file or a folder with one, instead of fresh weights; its ranks must be those of the training")
	f.BoolVar(&o.t.RSLoRA, "use-rslora", false, "scale by alpha over the root of the rank")
}

func (o *trainOptions) optimiserFlags(f *pflag.FlagSet) {
	f.StringVar(&o.t.Optimizer, "optimizer", "adamw", strings.Join(optim.Names(), ", "))
	f.Float64Var(&o.t.LearningRate, "learning-rate", 1e-4, "of the optimiser")
	f.BoolVar(&o.t.ScaleLR, "scale-lr", false, "multiply the learning rate by batch size and accumulation steps, as the papers' scripts do")
	f.StringVar(&o.t.Schedule, "lr-scheduler", "constant_with_warmup", strings.Join(optim.ScheduleNames(), ", "))
	f.IntVar(&o.t.Warmup, "lr-warmup-steps", 0, "steps in which the learning rate rises")
	f.Float64Var(&o.t.Beta1, "adam-beta1", 0, "decay of the first moment (default: the optimiser's, 0.9)")
	f.Float64Var(&o.t.Beta2, "adam-beta2", 0, "decay of the second moment (default: 0.999)")
	f.Float64Var(&o.t.WeightDecay, "adam-weight-decay", 0, "decoupled weight decay (default: 0.01; 0 for none)")
	f.Float64Var(&o.t.Epsilon, "adam-epsilon", 0, "added to the root of the second moment (default: 1e-8)")
	f.Float64Var(&o.maxGradNorm, "max-grad-norm", 1, "clip the gradient at this norm; 0 does not")
	f.Float64Var(&o.t.EMA, "ema-decay", 0, "save an exponential average of the weights with this largest decay")
	f.IntVar(&o.t.Steps, "max-train-steps", 1000, "updates")
	f.IntVar(&o.t.BatchSize, "train-batch-size", 4, "pairs of a batch; prompts, for methods that make their own pictures")
	f.IntVar(&o.t.Accumulation, "gradient-accumulation-steps", 1, "batches of an update")
	f.Uint64Var(&o.t.Seed, "seed", 0, "of everything that is drawn")
	f.BoolVar(&o.t.Checkpoint, "gradient-checkpointing", false, "compute activations twice instead of keeping them")
}

func (o *trainOptions) methodFlags(f *pflag.FlagSet) {
	s := &o.t.Settings
	f.Float64Var(&s.Beta, "beta-dpo", 0, "strength of the pull to the reference, in the unit of the method's paper (default: the method's)")
	f.StringVar(&s.Loss, "loss", "", "loss of implicit rewards, for methods that have the choice (default: sigmoid); --list shows all")
	f.StringArrayVar(&o.lossOptions, "loss-option", nil, "setting of the loss, as in gamma=1 (repeatable); --list shows them")
	f.Float64Var(&s.SFTWeight, "sft-weight", 0, "weight of the policy's error of chosen pictures, added to the loss of a preference method (default: none; 1 for cpo)")
	f.Float64Var(&s.SDPO, "sdpo-mu", 0, "weaken the pull on rejected pictures so that the chosen ones gain at least this share of what they would alone (default: 0.9 for sdpo, else off)")
	f.Float64Var(&s.LabelSmoothing, "label-smoothing", 0, "share of labels that are taken to be wrong, for losses that smooth labels, such as cdpo (default there: 0.1)")
	f.Float64Var(&s.Gamma, "gamma", 0, "of smpo: sensitivity to the label (default: 10); of pmpo: weight of the chosen pictures, at most 1 (default: 0.5)")
	f.IntVar(&s.Draws, "draws", 0, "draws of timestep and noise for each pair, averaged ahead of the loss")
	f.Float64Var(&o.t.Dropout, "prompt-dropout", 0, "share of pairs that are learnt without their prompt")
	f.Float64Var(&o.t.SNRGamma, "snr-gamma", 0, "weigh errors by min-SNR with this gamma")
	f.StringVar(&o.t.TimestepSampling, "timestep-sampling", "", "draw noise levels uniform, logit-normal or geometric (default: the method's; logit-normal for flow models, else uniform)")
	f.Float64Var(&o.t.LogitMean, "logit-mean", 0, "of logit-normal levels; above 0 means more noise")
	f.Float64Var(&o.t.LogitStd, "logit-std", 1, "of logit-normal levels")
	f.IntVar(&o.t.Inversion.Steps, "inversion-steps", 10, "levels of the inversion of smpo and inpo")
	f.StringVar(&o.t.Inversion.Method, "inversion-method", "", "ddim, renoise or fixed-point (default: renoise for smpo, ddim for inpo)")
	f.Float64Var(&o.t.Inversion.Noise, "inversion-noise", 0, "add this share of a step's own noise in inversions (default: 0.1 for inpo, else none)")
	f.IntVar(&o.t.Inversion.Iterations, "inversion-iterations", 0, "of the inversion's method (default: its own)")
	f.Float64Var(&o.t.LevelDecay, "level-decay", 0.9, "of geometric levels: how the probability of bins of 50 timesteps falls from the noisiest on")
	f.StringVar(&o.t.TimestepWeighting, "timestep-weighting", "", "weigh errors: none, or inverse-snr, from 1 at the least noise to 2 at the most (default: the method's, else none)")
	o.ownFlags(f)
}

func (o *trainOptions) watchFlags(f *pflag.FlagSet) {
	f.IntVar(&o.every, "checkpointing-steps", 500, "steps between checkpoints")
	f.IntVar(&o.limit, "checkpoints-total-limit", 0, "checkpoints that are kept (default: all)")
	f.StringVar(&o.resume, "resume-from-checkpoint", "", "\"latest\", or the name of a checkpoint folder")
	f.BoolVar(&o.overwrite, "overwrite", false, "remove the run that --output holds, and begin anew")
	f.StringArrayVar(&o.validation, "validation-prompt", nil, "prompt of a preview; may be repeated")
	f.IntVar(&o.validationEvery, "validation-steps", 0, "steps between previews (default: as checkpoints)")
	f.IntVar(&o.validationSteps, "validation-inference-steps", 0, "sampling steps of previews (default: the model's)")
	f.Float64Var(&o.validationGuidance, "validation-guidance-scale", 0, "guidance scale of previews (default: the model's)")
	f.BoolVar(&o.tensorboard, "tensorboard", false, "also write TensorBoard event files")
	f.BoolVar(&o.noGuard, "no-guard", false, "go on when loss, gradient or margins say that the run has gone wrong")
}

// settings are the flags that repeat the run: those that were given.
func (o *trainOptions) settings(f *pflag.FlagSet) yaml.MapSlice {
	s := yaml.MapSlice{{Key: "method", Value: o.method}}
	f.Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "method", "config", "list", "resume-from-checkpoint", "overwrite", "quiet", "verbose", "json":
			return
		}
		s = append(s, yaml.MapItem{Key: flag.Name, Value: settingOf(flag.Value)})
	})
	return s
}
