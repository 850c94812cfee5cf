package cli

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/internal/labelling"
	"winnow/rewards"
)

// labelOptions is the command line of label.
type labelOptions struct {
	made       generateOptions // how pictures are made
	promptFile string
	sameSeeds  bool
	scales     []float64
	data       dataInput // pictures that exist
	reward     []string
	rule       labelling.Rule
	output     string
	pictures   string
	config     string
	rewardOptions
}

func (a *app) labelCommand() *cobra.Command {
	o := &labelOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "label --prompts FILE | --data FILE",
		Short: "Make preference pairs: generate pictures, score or judge them, pair them up",
		Long: `Label makes pictures for every prompt, scores them by a reward or lets a judge compare
them, and writes pairs of a better and a worse picture, which "winnow train" learns
from: parquet with the columns of Pick-a-Pic and the pictures inside, and JSON lines
beside it that name the picture files. Columns of our own are score_0, score_1 and
soft_label_0. --data labels pictures that exist instead: any set of "winnow data
formats"; rows of several pictures are labelled among themselves, rows of one picture
are joined by their prompt.

A judge compares pictures of a prompt in both orders, every two of up to six and chosen
pairs of more (--judge-schedule, --judge-budget); their strengths by Bradley-Terry, in
units of log-odds, are the scores. So a temperature of 1 gives the judge's own
probabilities. --judge mini labels by the embedded reward, without a server.

"winnow train online" labels and trains in rounds (assets/mini/ROUNDS.md).

Pictures stay in a folder beside the output, scores and verdicts in files beside it. A
run that was killed or interrupted leaves no output; started again it goes on where it
was and ends with the same files. Pictures that cannot be read or scored are listed and
left out: exit 3.`,
		Example: `  winnow label --prompts prompts.txt --num-images 8 --output pairs.parquet
  winnow label --model ./sd15-onnx --prompts prompts.txt --reward pickscore-v1 --reward-model ./pickscore --soft-labels 0.5 --output pairs.parquet
  winnow label --prompts prompts.txt --judge http://localhost:8000 --pairs all --min-gap 0.5 --output pairs.parquet
  winnow label --prompts prompts.txt --judge mini --output pairs.jsonl
  winnow label --data old.parquet --reward mini --output new.parquet`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			o.made.changed = c.Flags().Changed
			if err := o.complete(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.label(c.Context(), o)
		},
	}
	o.flags(c.Flags())
	return c
}

func (o *labelOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.promptFile, "prompts", "", "prompts (.txt, .jsonl, .json, .csv, .tsv), or a folder of .json lists")
	f.IntVar(&o.made.count, "num-images", 4, "pictures per prompt")
	f.Uint64Var(&o.made.seed, "seed", 0, "the first picture's; every picture has a seed of its own, counted up over the prompts")
	f.BoolVar(&o.sameSeeds, "same-seeds", false, "start the pictures of every prompt from the same seeds, as generate does")
	o.made.settingFlags(f)
	f.Float64SliceVar(&o.scales, "guidance-scales", nil, "make equal parts of a prompt's pictures with these guidance scales, as in 1,3")
	f.IntVar(&o.made.batch, "batch-size", 0, "pictures per network call (default: by size)")
	f.StringVar(&o.data.file, "data", "", "label the pictures of this set instead of making some")
	f.StringVar(&o.data.format, "format", "", "format of --data (default: told from its name and first row)")
	f.StringVar(&o.data.images, "images", "", "folder that image paths in --data start from (default: the file's)")
	f.StringSliceVar(&o.reward, "reward", nil, "reward to label by, or NAME=WEIGHT,NAME=WEIGHT for a sum (default: mini)"+rewardHelp)
	o.rewardOptions.flags(f)
	o.asked.flags(f)
	o.asked.scheduleFlags(f, usualSchedule)
	f.StringVar(&o.rule.Pairs, "pairs", labelling.BestWorst, "which pictures of a prompt are paired: best-worst, all, or adjacent in the order of scores; group: none, all as one ranking (.jsonl)")
	f.IntVar(&o.rule.PerPrompt, "pairs-per-prompt", 0, "at most so many, those with the largest gaps (default: 1 of best-worst, else no limit)")
	f.Float64Var(&o.rule.MinGap, "min-gap", 0, "smallest difference of scores that decides; below it a pair is a tie")
	f.BoolVar(&o.rule.KeepTies, "keep-ties", false, "keep ties with label 0.5 instead of leaving them out")
	f.IntVar(&o.rule.Select, "select", 0, "of --pairs group: keep so many pictures of a prompt, the best, the worst and those that look least like them (AMPO; default: all)")
	f.BoolVar(&o.rule.Dominance, "dominance", false, "with several rewards: take a pair only if none of them contradicts the order of the sum")
	f.Float64Var(&o.rule.Temperature, "soft-labels", 0, "soft labels σ(gap/TEMPERATURE) beside the hard ones (default: equal to them)")
	f.StringVarP(&o.output, "output", "o", "", "file to write: .parquet, with a .jsonl beside it, or .jsonl alone")
	f.StringVar(&o.pictures, "pictures", "", "folder of the pictures that are made (default: the output's name with .pictures for its ending)")
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps scores (default: the output's name with .cache; \"none\" keeps neither scores nor verdicts)")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
}

// complete checks what can be checked without a model.
func (o *labelOptions) complete(args []string) error {
	switch {
	case len(args) > 0:
		return usagef("%q: name prompts by --prompts and pictures by --data", args[0])
	case (o.promptFile == "") == (o.data.file == ""):
		return usagef("name either --prompts, to make pictures, or --data, whose pictures exist")
	case o.output == "":
		return usagef("name --output, as in --output pairs.parquet")
	case o.data.file == "" && o.made.count < 2:
		return usagef("--num-images %d: want at least 2, to make a pair of", o.made.count)
	case o.made.changed("soft-labels") && o.rule.Temperature == 0:
		return usagef("--soft-labels 0: want a temperature above 0; without the flag labels are hard")
	}
	if _, err := outputFormat(o.output, ""); err != nil {
		return err
	}
	if o.data.file != "" {
		for _, flag := range []string{"model", "steps", "num-images", "seed", "guidance-scale", "guidance-scales", "scheduler", "lora", "pictures"} {
			if o.made.changed(flag) {
				return usagef("--%s is about pictures that are made; those of --data exist", flag)
			}
		}
	}
	if err := o.checkScales(); err != nil {
		return err
	}
	if err := o.rule.Check(); err != nil {
		return usagef("--%w", err)
	}
	// Both halves share what they run on.
	o.made.threads, o.made.executorOptions, o.made.truncate = o.threads, o.executorOptions, o.truncate
	if err := errors.Join(o.made.checkSettings(), o.executorOptions.check()); err != nil {
		return err
	}
	var err error
	if o.reward, err = o.choose(o.reward, rewards.Judge, rewards.Mini); err != nil {
		return err
	}
	if len(o.reward) > 1 && o.judged() {
		return usagef("--reward %s: the judge compares pictures and has no scores to add; name it alone", strings.Join(o.reward, ","))
	}
	if format, _ := outputFormat(o.output, ""); o.rule.Pairs == labelling.Group && format != "jsonl" {
		return usagef("--output %s: Pick-a-Pic columns hold pairs; name a .jsonl file for --pairs group", o.output)
	}
	if o.rule.Dominance && len(o.reward) < 2 {
		return usagef("--dominance: one reward cannot contradict another; name several, as in --reward mini,aesthetic-v2=0.2")
	}
	return nil
}

// checkScales checks --guidance-scales.
func (o *labelOptions) checkScales() error {
	n := len(o.scales)
	switch {
	case n == 0:
		return nil
	case o.made.changed("guidance-scale"):
		return usagef("--guidance-scale and --guidance-scales: name one of the two")
	case o.made.count%n != 0:
		return usagef("--num-images %d: want a multiple of %d, to make equal parts with %d --guidance-scales", o.made.count, n, n)
	}
	for _, s := range o.scales {
		if !(s >= 1 && s <= 1000) {
			return usagef("--guidance-scales %v: want numbers of at least 1, which is no guidance", s)
		}
	}
	return nil
}

// judged says whether a judge compares pictures, rather than a reward scoring them.
func (o *labelOptions) judged() bool {
	for _, choice := range o.reward {
		if name, _, _ := strings.Cut(choice, "="); name == rewards.Judge {
			return true
		}
	}
	return false
}

// stem is the output's name without its ending.
func (o *labelOptions) stem() string { return strings.TrimSuffix(o.output, filepath.Ext(o.output)) }

// folder is where pictures are made.
func (o *labelOptions) folder() string {
	if o.pictures != "" {
		return o.pictures
	}
	return o.stem() + ".pictures"
}

// lines is the file of JSON lines.
func (o *labelOptions) lines() string {
	if format, err := outputFormat(o.output, ""); err == nil && format == "jsonl" {
		return o.output
	}
	return o.stem() + ".jsonl"
}
