package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/evaluation"
)

// winRateOptions is the command line of eval win-rate.
type winRateOptions struct {
	a, b                string
	minimum, guidance   float64
	seed                uint64
	count, steps, batch int
	scheduler           string
	output, config      string
	pictureOptions
}

func (a *app) winRateCommand() *cobra.Command {
	o := &winRateOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "win-rate --a MODEL --b MODEL --prompts FILE",
		Short: "Compare the pictures of two models by rewards, judges and the mini world's checker",
		Long: `Win-rate compares two models on the same prompts and seeds: the i-th picture of A with
the i-th of B, by each scorer. The win rate of A is the share of comparisons that it
wins, ties counting half, averaged over pictures and then over prompts, with a 95 %
bootstrap interval over prompts and an exact sign test.

Each side is "mini", a model folder, a YAML file with flags of "winnow generate" (as
--save-config writes it, to compare settings), or a folder of pictures that exist:
files that carry their prompt, CATEGORY/NNNNN.jpg or NNNNN.jpg from 0 (HPSv2),
NNNNN/samples/0000.png (GenEval), or ID.png. Pictures that are made go to --output/a
and --output/b; a run that stopped goes on there.

--checker adds the exact checker of the mini world, for prompts in its grammar.
--min-win-rate X makes the exit code 5 when any scorer gives A less than X, for CI.`,
		Example: `  winnow eval win-rate --a mini --b weak.yaml --prompts prompts.txt --checker
  winnow eval win-rate --a ./tuned-onnx --b ./base-onnx --prompts PartiPrompts.tsv --reward hpsv2.1 --reward-model ./hpsv2.1 --min-win-rate 0.55`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.config != "" {
				if err := loadConfig(c, o.config); err != nil {
					return err
				}
			}
			if len(args) > 0 || o.a == "" || o.b == "" || o.promptFile == "" {
				return &usageError{command: c.CommandPath(), err: errors.New("name --a, --b and --prompts")}
			}
			return a.winRate(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.a, "a", "", "the model in question: mini, a model folder, a YAML file of generate's flags, or a folder of pictures")
	f.StringVar(&o.b, "b", "", "the model that it is compared with")
	o.pictureOptions.flags(f)
	f.Float64Var(&o.minimum, "min-win-rate", 0, "exit with code 5 when a scorer gives A a smaller win rate")
	f.IntVar(&o.count, "num-images", 1, "pictures per prompt and model that is run")
	f.Uint64Var(&o.seed, "seed", 0, "picture i of a prompt starts from seed+i in both models")
	f.IntVar(&o.steps, "steps", 0, "sampling steps (default: the model's)")
	f.Float64Var(&o.guidance, "guidance-scale", 0, "classifier-free guidance (default: the model's)")
	f.StringVar(&o.scheduler, "scheduler", "", "scheduler (default: the model's)")
	f.IntVar(&o.batch, "batch-size", 0, "pictures per network call (default: by size)")
	f.StringVarP(&o.output, "output", "o", "win-rate", "folder for pictures that are made")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	return c
}

// winRateRun is a run of eval win-rate.
type winRateRun struct {
	pictureRun
	start  time.Time
	o      *winRateOptions
	a, b   side
	names  []string // of the scorers
	tables [][]evaluation.Contest

	explained *explained // what the judge said, for the page; nil: none does
}

func (a *app) winRate(ctx context.Context, o *winRateOptions) (err error) {
	r := &winRateRun{pictureRun: pictureRun{app: a, pictureOptions: &o.pictureOptions}, start: time.Now(), o: o}
	if err := r.checkFlags(); err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if r.a, err = r.openSide(ctx, o.a, "a"); err != nil {
		return err
	}
	if r.b, err = r.openSide(ctx, o.b, "b"); err != nil {
		return err
	}
	err = r.each(ctx, func(name string, score scoreItems) error {
		a, err := r.scoreFiles(ctx, name, r.a, score)
		if err != nil {
			return err
		}
		b, err := r.scoreFiles(ctx, name, r.b, score)
		if err != nil {
			return err
		}
		table := make([]evaluation.Contest, len(r.prompts))
		for i, p := range r.prompts {
			table[i] = evaluation.Contest{Prompt: p.Text, Category: p.Category, A: a[i], B: b[i]}
		}
		r.names, r.tables = append(r.names, name), append(r.tables, table)
		return nil
	})
	if err == nil && r.compares {
		err = r.byJudge(ctx)
	}
	if err != nil {
		return err
	}
	return r.finish(ctx)
}

func (r *winRateRun) checkFlags() error {
	o := r.o
	switch {
	case o.count < 1:
		return usagef("--num-images is %d; want 1 or more", o.count)
	case !(o.minimum >= 0 && o.minimum <= 1):
		return usagef("--min-win-rate is %v; want a share from 0 to 1", o.minimum)
	}
	return nil
}

// winRateLine is one scorer's result, as --json prints it.
type winRateLine struct {
	Type string `json:"type"` // "win_rate"
	A    string `json:"a"`
	B    string `json:"b"`
	evaluation.WinRate
}

func (r *winRateRun) finish(ctx context.Context) error {
	var below []string
	missing := 0
	results := make([]evaluation.WinRate, len(r.names))
	for k, name := range r.names {
		results[k] = evaluation.NewWinRate(name, r.tables[k])
		missing = max(missing, results[k].Missing)
		if results[k].Prompts == 0 {
			return fmt.Errorf("%s: no prompt has pictures of both %s and %s that could be scored", name, r.o.a, r.o.b)
		}
		if v := float64(results[k].Rate.Value); v < r.o.minimum {
			below = append(below, fmt.Sprintf("%s gives %.4f", name, v))
		}
	}
	r.listMissing(func(i int) string {
		a, b := len(r.a.files[i]), len(r.b.files[i])
		if a == b && a > 0 {
			return ""
		}
		return fmt.Sprintf("%d pictures of A and %d of B; the prompt is left out", a, b)
	})
	if err := r.show(results); err != nil {
		return err
	}
	if r.html != "" {
		if err := r.report(ctx, results); err != nil {
			return err
		}
	}
	if len(below) > 0 {
		return &belowError{fmt.Sprintf("the win rate of %s over %s is below %g: %s", r.o.a, r.o.b, r.o.minimum, strings.Join(below, ", "))}
	}
	if missing > 0 {
		return &partialRows{missing, len(r.prompts)}
	}
	return nil
}

func (r *winRateRun) show(results []evaluation.WinRate) error {
	if r.app.json {
		for _, res := range results {
			if err := r.app.line(winRateLine{"win_rate", r.o.a, r.o.b, res}); err != nil {
				return err
			}
		}
		return nil
	}
	return r.app.table(func(w io.Writer) {
		fmt.Fprintf(w, "win rate of %s over %s, %d prompts\n\n", r.o.a, r.o.b, len(r.prompts))
		fmt.Fprintf(w, "scorer\twin rate\t\tp\twins/ties/losses\tmean A\tmean B\tdifference\n")
		for _, res := range results {
			fmt.Fprintf(w, "%s\t%.4f\t%s\t%.4f\t%d/%d/%d\t%.4f\t%.4f\t%+.4f %s\n", res.Scorer, float64(res.Rate.Value), interval(res.Rate.Low, res.Rate.High),
				float64(res.P), res.Wins, res.Ties, res.Losses, float64(res.MeanA), float64(res.MeanB), float64(res.Difference.Value), interval(res.Difference.Low, res.Difference.High))
		}
		for _, res := range results {
			if len(res.Categories) == 0 {
				continue
			}
			fmt.Fprintf(w, "\n%s by category\n", res.Scorer)
			for _, c := range res.Categories {
				fmt.Fprintf(w, "%s\t%.4f\t%s\t%d %s\n", c.Metric, float64(c.Value), interval(c.Low, c.High), c.Of, c.Unit)
			}
		}
	})
}
