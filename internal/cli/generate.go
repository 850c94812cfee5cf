package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/internal/ort"
	"winnow/rewards"
)

// generateOptions is the command line of generate.
type generateOptions struct {
	prompts                           []string
	promptFile                        string
	model, negative                   string
	scheduler, sigmas                 string
	steps, height, width              int
	guidance, rescale, eta, flowNoise float64
	guide                             guidanceOptions
	seed                              uint64
	count, batch, threads             int
	output, html                      string
	latents, saveLatents              string
	embeds                            string
	truncate, rank, noRank            bool
	reward, rewardModel               []string
	alarm                             float64
	search                            searchOptions
	condition                         conditionFlags
	by                                rewardOptions // the flags that the pictures' model has too stand above
	config, saveConfig                string
	executorOptions
	changed func(flag string) bool
}

func (a *app) generateCommand() *cobra.Command {
	o := &generateOptions{}
	o.by.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "generate PROMPT…",
		Short: "Generate pictures for prompts, and rank them",
		Long: `Generate makes pictures for each prompt and prints their paths. Pictures of the
embedded model are ranked by its reward, best first; --reward ranks those of any
model. Each argument is one prompt, so a prompt stands in quotes.`,
		Example: `  winnow generate "a red circle above a blue square"
  winnow generate --model ./stable-diffusion-v1-5-onnx --steps 25 --seed 7 "a red fox in the snow"
  winnow generate --prompt-file prompts.txt --num-images 1 --output pictures
  winnow generate --scheduler euler-a --num-images 8 --html best.html "two green stars"
  winnow generate --search random --search-budget 800 --num-images 1 --holdout-reward checker "a red circle above a blue square"
  winnow generate --search random --judge mini --num-images 1 "a red circle above a blue square"`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.changed = c.Flags().Changed
			if err := o.readPrompts(); err != nil {
				return err
			}
			if err := o.complete(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.generate(c.Context(), o)
		},
	}
	o.flags(c)
	return c
}

func (o *generateOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&o.prompts, "prompt", "p", nil, "a prompt; may be repeated and stands for an argument")
	f.StringVar(&o.promptFile, "prompt-file", "", "prompts from a .txt, .jsonl, .json, .csv or .tsv file")
	o.settingFlags(f)
	f.Uint64Var(&o.seed, "seed", 0, "picture i of a prompt starts from seed+i, with the noise that torch draws on a CPU")
	f.IntVar(&o.count, "num-images", 0, "pictures per prompt (default: 4 with the embedded model, else 1)")
	f.IntVar(&o.batch, "batch-size", 0, "pictures per network call (default: by size)")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
	f.StringVarP(&o.output, "output", "o", "out", "folder, or a name ending in .png with {prompt}, {seed}, {index}")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.BoolVar(&o.truncate, "truncate", false, "drop the end of a prompt that is too long instead of failing")
	f.BoolVar(&o.rank, "rank", false, "rank the pictures of each prompt (default with the embedded model)")
	f.BoolVar(&o.noRank, "no-rank", false, "do not rank; print paths only")
	f.StringSliceVar(&o.reward, "reward", nil, "rank by this reward, or by a sum NAME=WEIGHT,NAME=WEIGHT"+rewardHelp)
	f.StringArrayVar(&o.rewardModel, "reward-model", nil, "folder of the reward's model; once per reward that needs one, in order")
	o.by.addressFlag(f)
	o.by.asked.flags(f)
	o.by.asked.scheduleFlags(f, usualSchedule)
	o.by.scaleFlags(f)
	f.Float64Var(&o.alarm, "alarm", 0, "mark pictures on which the transformed scores of the rewards have a standard deviation above this")
	o.search.flags(f)
	f.StringVar(&o.latents, "latents", "", "safetensors file with the initial noise")
	f.StringVar(&o.saveLatents, "save-latents", "", "write the final latents to this safetensors file")
	f.StringVar(&o.embeds, "prompt-embeds", "", "safetensors file that replaces the text encoder")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	f.StringVar(&o.saveConfig, "save-config", "", "write the YAML file that repeats this run")
}

// settingFlags are those that say how a picture is made.
func (o *generateOptions) settingFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.negative, "negative-prompt", "n", "", "what the pictures should not show")
	f.StringVarP(&o.model, "model", "m", diffusion.Mini, "model folder in diffusers' ONNX layout, or \"mini\" (embedded)")
	f.IntVar(&o.steps, "steps", 0, "sampling steps (default: the model's)")
	f.Float64Var(&o.guidance, "guidance-scale", 0, "strength of guidance; 1 turns cfg off (default: the model's)")
	f.Float64Var(&o.rescale, "guidance-rescale", 0, "correct over-exposure under guidance, 0 to 1")
	o.guide.flags(f)
	o.condition.flags(f)
	f.StringVar(&o.scheduler, "scheduler", "", "ddim, ddpm, euler, euler-a, dpmpp-2m, flow-euler, … or a diffusers class name (default: the model's)")
	f.StringVar(&o.sigmas, "sigmas", "", "noise levels: karras, exponential or beta (default: the scheduler's)")
	f.Float64Var(&o.eta, "eta", 0, "share of fresh noise of ddim, 0 to 1")
	f.Float64Var(&o.flowNoise, "flow-noise", 0, "fresh noise of flow-euler: 0, or as much as Flow-GRPO's 0.7")
	f.IntVar(&o.height, "height", 0, "pixels (default: the model's)")
	f.IntVar(&o.width, "width", 0, "pixels (default: the model's)")
}

// readPrompts adds the prompts of --prompt-file behind those of --prompt.
func (o *generateOptions) readPrompts() error {
	if o.promptFile == "" {
		return nil
	}
	before := len(o.prompts)
	for p, err := range datasets.Prompts(o.promptFile) {
		if err != nil {
			return err
		}
		o.prompts = append(o.prompts, p.Text)
	}
	if len(o.prompts) == before {
		return fmt.Errorf("%s holds no prompt", o.promptFile)
	}
	return nil
}

// complete checks what can be checked without the model.
func (o *generateOptions) complete(args []string) error {
	if len(args) > 2 && !slices.ContainsFunc(args, func(s string) bool { return strings.ContainsRune(s, ' ') }) {
		return usagef("a prompt of several words stands in quotes: winnow generate %q (for one-word prompts repeat --prompt)", strings.Join(args, " "))
	}
	o.prompts = append(o.prompts, args...)
	if len(o.prompts) == 0 && o.embeds == "" {
		return usagef("name a prompt, as in: winnow generate \"a red circle above a blue square\"")
	}
	for _, p := range o.prompts {
		if strings.TrimSpace(p) == "" {
			return usagef("a prompt is empty")
		}
	}
	if err := errors.Join(o.checkSettings(), o.search.check(o.changed)); err != nil {
		return err
	}
	if o.rank && o.noRank {
		return usagef("--rank and --no-rank exclude each other")
	}
	var err error
	if o.reward, err = o.by.choose(o.reward, rewards.Judge); err != nil {
		return err
	}
	if o.noRank && len(o.reward) > 0 {
		return usagef("--no-rank and --reward exclude each other")
	}
	if len(o.rewardModel) > 0 && len(o.reward) == 0 {
		return usagef("--reward-model %s needs --reward, for example --reward clip", o.rewardModel[0])
	}
	return checkAlarm(o.changed("alarm"), o.alarm, o.by.transform, len(o.reward))
}

// checkSettings checks how pictures are to be made.
func (o *generateOptions) checkSettings() error {
	for flag, value := range map[string]int{"steps": o.steps, "height": o.height, "width": o.width, "num-images": o.count, "batch-size": o.batch} {
		if o.changed(flag) && value < 1 {
			return usagef("--%s %d: want at least 1", flag, value)
		}
	}
	if o.threads < 0 {
		return usagef("--threads %d: want at least 1, or 0 for all", o.threads)
	}
	if err := errors.Join(o.executorOptions.check(), o.guide.check(), o.condition.check()); err != nil {
		return err
	}
	if o.changed("guidance-scale") && o.guidance == 0 {
		if o.guide.rule == diffusion.CHATS {
			return usagef("--guidance-scale 0: leaves nothing of chats; --guidance cfg --guidance-scale 1 is the same picture")
		}
		o.guidance = 1 // both mean no guidance; in a Request 0 means the model's default
	}
	return nil
}

// pictures is the number of pictures of the whole run.
func (o *generateOptions) pictures() int { return len(o.prompts) * o.count }

// request is the part of the options that the pipeline takes.
func (o *generateOptions) request() diffusion.Request {
	return o.guide.apply(diffusion.Request{
		PromptSuffix: o.condition.suffix, NegativePrompt: o.negative, Height: o.height, Width: o.width, Steps: o.steps,
		GuidanceScale: o.guidance, GuidanceRescale: o.rescale, Seed: o.seed, Count: o.count, BatchSize: o.batch,
		Scheduler: o.scheduler, Sigmas: o.sigmas, Eta: o.eta, FlowNoise: o.flowNoise, Truncate: o.truncate,
	})
}

// settings are the flags that repeat the run, defaults resolved.
func (o *generateOptions) settings(d diffusion.Defaults) yaml.MapSlice {
	var s yaml.MapSlice
	add := func(key string, value any, when bool) {
		if when {
			s = append(s, yaml.MapItem{Key: key, Value: value})
		}
	}
	pick := func(v, def int) int {
		if v == 0 {
			return def
		}
		return v
	}
	guidance := o.guidance
	if guidance == 0 {
		guidance = d.GuidanceScale
	}
	scheduler := o.scheduler
	if scheduler == "" {
		scheduler = d.Scheduler
	}
	add("prompt", o.prompts, true)
	o.condition.settings(add)
	add("negative-prompt", o.negative, o.negative != "")
	add("model", o.model, true)
	add("steps", pick(o.steps, d.Steps), true)
	add("guidance-scale", guidance, true)
	add("guidance-rescale", o.rescale, o.rescale != 0)
	o.guide.settings(add)
	add("scheduler", scheduler, true)
	add("sigmas", o.sigmas, o.sigmas != "")
	add("eta", o.eta, o.eta != 0)
	add("flow-noise", o.flowNoise, o.flowNoise != 0)
	add("height", pick(o.height, d.Height), true)
	add("width", pick(o.width, d.Width), true)
	add("seed", o.seed, true)
	add("num-images", o.count, true)
	add("batch-size", o.batch, o.batch != 0)
	add("truncate", true, o.truncate)
	add("latents", o.latents, o.latents != "")
	add("prompt-embeds", o.embeds, o.embeds != "")
	add("reward", o.reward, len(o.reward) > 0)
	add("reward-model", o.rewardModel, len(o.rewardModel) > 0)
	add("transform", o.by.transform, o.by.transform != "")
	add("reference", o.by.reference, len(o.by.reference) > 0)
	add("alarm", o.alarm, o.alarm != 0)
	add("reward-url", o.by.address, o.by.address != "")
	o.by.asked.settings(add)
	o.search.settings(add)
	add("no-rank", true, len(o.reward) == 0)
	add("executor", o.executor, o.executor != ort.Embedded)
	add("ort-lib", o.ortLibrary, o.ortLibrary != "")
	add("output", o.output, true)
	return s
}
