package cli

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/datasets"
)

// evalOptions is the command line of eval.
type evalOptions struct {
	input            dataInput
	scores, rewards  []string
	validation, html string
	config           string
	compares         bool // the judge is a scorer
	rewardOptions
}

func (a *app) evalCommand() *cobra.Command {
	o := &evalOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "eval SET --data PATH --reward NAME",
		Short: "Compare rewards, judges or scores with the human preferences of a public set",
		Long: `Eval computes, for each scorer, the figures that belong to a set, under the names that
tell the definitions apart, with 95 % bootstrap intervals over prompts (and Wilson's,
which takes pairs for independent) and beside the published figures; for several
scorers also whether they differ (paired bootstrap over prompts, McNemar) and how
often they agree. SET is a format of "winnow data formats", auto, or a file.

Scorers are rewards (--reward, once per scorer; NAME=WEIGHT,NAME=WEIGHT for a sum), a
judge (--judge; every pair of pictures is shown in both orders, for which there are
five more figures; with --reward vqascore it is asked about single pictures instead)
and scores made elsewhere (--scores): JSON lines {"image": path, "prompt": …,
"score": x}, as "winnow score" writes them; the path is that of the set's file or on
disk, and the prompt may be left out where pictures belong to one prompt. --cache keeps
the scores of rewards in an SQLite file, so that a run that was stopped goes on there.
Pictures without a score are listed and leave their row out: exit 3.
For the tie threshold of Pick-a-Pic, --validation names the set to choose it on; files
of scores must hold its pictures too.

hpsv2 is HPDv2's test split; pictures that a model made for the prompts of HPSv2's
benchmark are for "winnow eval benchmark".`,
		Example: `  winnow eval imagereward --data ImageReward/data/test.json --reward imagereward-v1.0 --reward-model ./imagereward --reward hpsv2.1 --reward-model ./hpsv2.1 --html report.html
  winnow eval pickapic --data test_unique.parquet --validation validation_unique.parquet --scores s.jsonl --json
  winnow eval pairs.jsonl --reward mini
  winnow eval pairs.jsonl --judge mini`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			if err := o.complete(args); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.eval(c.Context(), o)
		},
	}
	o.flags(c.Flags())
	c.AddCommand(a.winRateCommand(), a.evalBenchmarkCommand())
	return c
}

func (o *evalOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.input.file, "data", "", "file or folder of the set")
	f.StringVar(&o.input.images, "images", "", "folder that image paths start from (default: the file's)")
	f.StringArrayVar(&o.rewards, "reward", nil, "reward, or NAME=WEIGHT,NAME=WEIGHT for a sum, as one scorer; may be repeated"+rewardHelp)
	o.rewardOptions.flags(f)
	o.asked.flags(f)
	o.asked.scheduleFlags(f, "all")
	f.StringArrayVar(&o.scores, "scores", nil, "JSON lines with a score for every picture, as one scorer; may be repeated")
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps the scores of rewards (default: none)")
	f.StringVar(&o.validation, "validation", "", "set to choose the tie threshold of pickapic.tie_threshold on")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
}

// hpsv2 is HPDv2's test split by the name of the model that it is known with.
const hpsv2 = "hpsv2"

// complete reads SET: a format, auto, or a file to be looked into.
func (o *evalOptions) complete(args []string) error {
	if len(args) == 1 && o.input.file == "" {
		if _, err := os.Stat(args[0]); err == nil {
			o.input.file, args = args[0], []string{"auto"}
		}
	}
	if len(args) != 1 || o.input.file == "" || len(o.scores)+len(o.rewards) == 0 && o.asked.url == "" {
		return errors.New("name a set, --data, and --reward, --judge or --scores")
	}
	switch args[0] {
	case "auto":
		o.input.format = ""
	case hpsv2:
		o.input.format = "hpdv2"
	default:
		o.input.format = args[0]
	}
	if info, err := os.Stat(o.input.file); err == nil && info.IsDir() && args[0] == hpsv2 {
		return errors.New("a folder of pictures in the layout of the HPSv2 benchmark is for: winnow eval benchmark")
	}
	var err error
	if o.rewards, o.compares, err = o.judgeAmong(o.rewards); err != nil {
		return err
	}
	o.input.keepOrder = true // scores have no preference for a place, and rows keep their numbers
	if o.validation != "" {
		if _, err := datasets.Detect(o.validation); err != nil && o.input.format == "" {
			return err
		}
	}
	return errors.Join(o.executorOptions.check(), writable(o.html))
}
