package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/diffusion"
	"winnow/dpo"
	"winnow/rewards"
)

// onlineOptions is the command line of train online: its own flags, and those of label and train, which it runs.
type onlineOptions struct {
	model, output, config string
	prompts, heldOut      string
	heldReward            []string
	heldModels            []string
	rounds, perRound      int
	replay                int
	keepReference         bool
	heldSteps             int
	heldGuidance          float64
	heldLimit             int
	seed                  uint64

	label      labelOptions
	train      trainOptions
	labelFlags *pflag.FlagSet
	trainFlags *pflag.FlagSet
	flags      *pflag.FlagSet
}

func (a *app) trainOnlineCommand() *cobra.Command {
	o := &onlineOptions{}
	c := &cobra.Command{
		Use:   "online [METHOD] --prompts FILE --heldout-prompts FILE",
		Short: "Rounds of making pictures, labelling them and training",
		Long: `Online repeats what "winnow label" and "winnow train" do: every round makes pictures with the
adapter of the round before, a reward or a judge labels them, training goes on from that
adapter, which is the new reference, and the result is looked at on held-out prompts: by
what labels, and by --heldout-reward, which nothing is ever trained on.

When the held-out reward falls against the best round while the reward that labels rises,
beyond the 95 % intervals of both, the pictures have become better for the labels only
(reward hacking). The rounds end there, the command says so, and the adapter of the best
round by the held-out reward is the result. If that is the model without any adapter, no
adapter is written and the exit code is 5.

METHOD is one of "winnow train --list" that learns from pairs (default: dpo). Every flag of
"winnow label" and of "winnow train" may be given, too: --steps, --guidance-scale and
--num-images are those of the pictures, --max-train-steps and --learning-rate those of a
round's training.

A run that was killed goes on where it was when the same command is started again, and
ends with the same adapter. --output holds a folder for every round, the pictures of the
held-out prompts, the adapter, and a report.`,
		Example: `  winnow train online --prompts prompts.txt --heldout-prompts heldout.txt --output rounds
  winnow train online --prompts prompts.txt --heldout-prompts heldout.txt --judge http://localhost:8000 --heldout-reward checker --output rounds
  winnow train online --model ./sd15-onnx --prompts p.txt --heldout-prompts h.txt --reward pickscore-v1 --reward-model ./pickscore --heldout-reward hpsv2.1 --heldout-reward-model ./hpsv2.1 --output rounds`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.flags = c.Flags()
			if err := o.complete(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.online(c.Context(), o)
		},
	}
	o.register(c.Flags())
	return c
}

// onlineOwn are flags of label and train that the rounds set themselves, or that one of the two alone is meant by.
var onlineOwn = []string{"data", "format", "images", "pictures", "cache", "method", "list", "resume-from-checkpoint", "overwrite", "lora", "same-seeds", "reference-lora", "init-lora"}

// register adds the command's own flags, and then those of label and train that have no namesake yet.
func (o *onlineOptions) register(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.model, "model", "m", diffusion.Mini, "model folder in diffusers' ONNX layout, or \"mini\" (embedded)")
	f.StringVar(&o.prompts, "prompts", "", "prompts to learn from (.txt, .jsonl, .json, .csv, .tsv)")
	f.StringVar(&o.heldOut, "heldout-prompts", "", "prompts that every round is looked at with, none of them among --prompts")
	f.StringArrayVar(&o.heldReward, "heldout-reward", nil, "reward that is never trained on, or a sum as NAME=WEIGHT,NAME=WEIGHT; the first one decides, others are shown (default with the embedded model: checker, or mini where the checker labels)"+rewardHelp)
	f.StringArrayVar(&o.heldModels, "heldout-reward-model", nil, "folder of the held-out reward's model; once per reward that needs one, in order")
	f.IntVar(&o.rounds, "rounds", 3, "rounds")
	f.IntVar(&o.perRound, "prompts-per-round", 0, "prompts of a round, the next ones of a shuffled list (default: all in every round)")
	f.IntVar(&o.replay, "replay", 0, "also learn from the pairs of so many rounds before")
	f.BoolVar(&o.keepReference, "keep-reference", false, "measure against the model without adapter in all rounds, instead of the adapter of the round before")
	f.IntVar(&o.heldSteps, "heldout-steps", 0, "sampling steps of held-out pictures (default: as --steps)")
	f.Float64Var(&o.heldGuidance, "heldout-guidance-scale", 0, "guidance scale of held-out pictures (default: the model's)")
	f.IntVar(&o.heldLimit, "heldout-limit", 0, "look at so many held-out prompts (default: all)")
	f.Uint64Var(&o.seed, "seed", 0, "of everything that is drawn; rounds count it up")
	f.StringVarP(&o.output, "output", "o", "", "folder for rounds, adapter and report")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags; a run leaves online.yaml in --output")
	o.labelFlags, o.trainFlags = pflag.NewFlagSet("label", pflag.ContinueOnError), pflag.NewFlagSet("train", pflag.ContinueOnError)
	o.label.flags(o.labelFlags)
	o.train.dataFlags(o.trainFlags)
	o.train.adapterFlags(o.trainFlags)
	o.train.optimiserFlags(o.trainFlags)
	o.train.methodFlags(o.trainFlags)
	o.train.watchFlags(o.trainFlags)
	for _, set := range []*pflag.FlagSet{o.labelFlags, o.trainFlags} {
		set.VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains(onlineOwn, flag.Name) && f.Lookup(flag.Name) == nil {
				f.AddFlag(flag)
			}
		})
	}
}

// complete checks what can be checked without a model; label and train check their flags themselves, before the first picture is made.
func (o *onlineOptions) complete(args []string) error {
	o.train.method = "dpo"
	switch {
	case len(args) > 1:
		return usagef("want one method, not %s", strings.Join(args, " "))
	case len(args) == 1:
		o.train.method = args[0]
	}
	m, err := dpo.FindMethod(o.train.method)
	switch {
	case err != nil:
		return usagef("%s", strings.TrimPrefix(err.Error(), "dpo: "))
	case m.Kind != dpo.KindPairs && m.Kind != dpo.KindInversion:
		return usagef("%s makes its own pictures while it trains; rounds are for methods that learn from pairs", m.Name)
	case len(m.Adapters) > 1:
		return usagef("%s trains two adapters; rounds go on from one", m.Name)
	case o.prompts == "" || o.heldOut == "":
		return usagef("name the prompts to learn from by --prompts, and those to look at by --heldout-prompts")
	case o.output == "":
		return usagef("name a folder by --output")
	case o.rounds < 1 || o.perRound < 0 || o.replay < 0 || o.heldLimit < 0 || o.heldSteps < 0:
		return usagef("--rounds, --prompts-per-round, --replay, --heldout-limit and --heldout-steps: want numbers of at least 1")
	case !(o.heldGuidance >= 0):
		return usagef("--heldout-guidance-scale %v: want a number of at least 1", o.heldGuidance)
	}
	return o.checkRewards()
}

// checkRewards finds out what labels, and refuses to hold out the same.
func (o *onlineOptions) checkRewards() error {
	by, err := o.label.choose(o.label.reward, rewards.Judge, rewards.Mini)
	if err != nil {
		return err
	}
	o.label.reward = by
	if len(o.heldReward) == 0 {
		switch {
		case o.model != diffusion.Mini:
			return usagef("name a reward that is never trained on by --heldout-reward; it finds out when the labels are exploited")
		case slices.Contains(by, rewards.Checker):
			o.heldReward = []string{rewards.Mini}
		default:
			o.heldReward = []string{rewards.Checker}
		}
	}
	for _, held := range o.heldReward {
		for _, part := range strings.Split(held, ",") {
			name, _, _ := strings.Cut(part, "=")
			if name == rewards.Judge || name == rewards.VQAScore || name == rewards.Remote {
				return usagef("--heldout-reward %s: want a reward that runs here", held)
			}
			for _, label := range by {
				if other, _, _ := strings.Cut(label, "="); other == name {
					return usagef("--heldout-reward %s: the pictures are labelled by it, so that it cannot tell when the labels are exploited; name another", name)
				}
			}
		}
	}
	if o.label.asked.url == rewards.Mini && slices.Contains(o.heldReward, rewards.Mini) {
		return usagef("--heldout-reward mini: the judge mini is this reward; name another, such as checker")
	}
	return nil
}

// chosen are the flags of a part that were given, as its configuration file has them.
func (o *onlineOptions) chosen(part *pflag.FlagSet, without ...string) yaml.MapSlice {
	var s yaml.MapSlice
	o.flags.Visit(func(flag *pflag.Flag) {
		if part.Lookup(flag.Name) != nil && !slices.Contains(without, flag.Name) {
			s = append(s, yaml.MapItem{Key: flag.Name, Value: settingOf(flag.Value)})
		}
	})
	return s
}

// settings are the flags that repeat the run.
func (o *onlineOptions) settings() yaml.MapSlice {
	var s yaml.MapSlice
	o.flags.Visit(func(flag *pflag.Flag) {
		if !slices.Contains([]string{"config", "output", "quiet", "json", "threads"}, flag.Name) {
			s = append(s, yaml.MapItem{Key: flag.Name, Value: settingOf(flag.Value)})
		}
	})
	return s
}

// errNoBetterRound is the end of a run whose adapters are all worse than none.
var errNoBetterRound = errors.New("no round is better than the model without adapter by the held-out reward; no adapter is written")
