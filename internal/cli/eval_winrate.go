package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/internal/evaluation"
	"winnow/internal/imageproc"
	"winnow/internal/miniworld"
	"winnow/internal/scoring"
	"winnow/rewards"
)

// winRateOptions is the command line of eval win-rate.
type winRateOptions struct {
	a, b, prompts        string
	rewards              []string
	checker              bool
	minimum, guidance    float64
	seed                 uint64
	count, steps, batch  int
	scheduler            string
	output, html, config string
	rewardOptions
}

func (a *app) winRateCommand() *cobra.Command {
	o := &winRateOptions{}
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
			if len(args) > 0 || o.a == "" || o.b == "" || o.prompts == "" {
				return &usageError{command: c.CommandPath(), err: errors.New("name --a, --b and --prompts")}
			}
			return a.winRate(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.a, "a", "", "the model in question: mini, a model folder, a YAML file of generate's flags, or a folder of pictures")
	f.StringVar(&o.b, "b", "", "the model that it is compared with")
	f.StringVar(&o.prompts, "prompts", "", "prompts (.txt, .jsonl, .json, .csv, .tsv), or a folder of lists, one a category")
	f.StringArrayVar(&o.rewards, "reward", nil, "reward, or NAME=WEIGHT,NAME=WEIGHT for a sum, as one scorer; may be repeated (default: mini, unless --checker): "+rewardHelp())
	o.rewardOptions.flags(f)
	f.StringVar(&o.cache, "cache", "", "SQLite file that keeps the scores of rewards (default: none)")
	f.BoolVar(&o.checker, "checker", false, "compare by the exact checker of the mini world too: the share of a prompt's assertions that hold")
	f.Float64Var(&o.minimum, "min-win-rate", 0, "exit with code 5 when a scorer gives A a smaller win rate")
	f.IntVar(&o.count, "num-images", 1, "pictures per prompt and model that is run")
	f.Uint64Var(&o.seed, "seed", 0, "picture i of a prompt starts from seed+i in both models")
	f.IntVar(&o.steps, "steps", 0, "sampling steps (default: the model's)")
	f.Float64Var(&o.guidance, "guidance-scale", 0, "classifier-free guidance (default: the model's)")
	f.StringVar(&o.scheduler, "scheduler", "", "scheduler (default: the model's)")
	f.IntVar(&o.batch, "batch-size", 0, "pictures per network call (default: by size)")
	f.StringVarP(&o.output, "output", "o", "win-rate", "folder for pictures that are made")
	f.StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file")
	f.StringVar(&o.config, "config", "", "YAML file with any of these flags")
	return c
}

// winRateRun is a run of eval win-rate.
type winRateRun struct {
	app     *app
	o       *winRateOptions
	prompts []datasets.Prompt
	a, b    side
	store   *scoring.Store
	names   []string // of the scorers
	tables  [][]evaluation.Contest
	start   time.Time
}

func (a *app) winRate(ctx context.Context, o *winRateOptions) (err error) {
	r := &winRateRun{app: a, o: o, start: time.Now()}
	if len(o.rewards) == 0 && !o.checker {
		o.rewards = []string{rewards.Mini}
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.prompts, err = readPromptSet(o.prompts); err != nil {
		return err
	}
	if r.store, err = o.store(ctx, ""); err != nil {
		return err
	}
	if r.store != nil {
		defer func() { err = errors.Join(err, r.store.Close()) }()
	}
	if r.a, err = r.openSide(ctx, o.a, "a"); err != nil {
		return err
	}
	if r.b, err = r.openSide(ctx, o.b, "b"); err != nil {
		return err
	}
	if err := r.scoreAll(ctx); err != nil {
		return err
	}
	return r.finish()
}

func (r *winRateRun) check() error {
	o := r.o
	switch {
	case o.count < 1:
		return usagef("--num-images is %d; want 1 or more", o.count)
	case !(o.minimum >= 0 && o.minimum <= 1):
		return usagef("--min-win-rate is %v; want a share from 0 to 1", o.minimum)
	}
	return errors.Join(o.executorOptions.check(), writable(o.html))
}

// scoreAll lets every scorer see the pictures of both sides.
func (r *winRateRun) scoreAll(ctx context.Context) error {
	for _, choice := range r.o.rewards {
		if err := r.byReward(ctx, choice); err != nil {
			return err
		}
	}
	if len(r.o.models) > 0 {
		return usagef("--reward-model %s belongs to no reward; name one reward for each folder", r.o.models[0])
	}
	if r.o.checker {
		return r.byChecker(ctx)
	}
	return nil
}

func (r *winRateRun) byReward(ctx context.Context, choice string) (err error) {
	choices := strings.Split(choice, ",")
	o := r.o.rewardOptions
	o.models, r.o.models = takeFolders(choices, r.o.models)
	mix, err := o.open(ctx, choices)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mix.Close()) }()
	by, err := scoring.New(ctx, mix, o.executor, r.store)
	if err != nil {
		return err
	}
	return r.contests(ctx, mix.Info().Name, func(items []scoring.Item) ([]float64, error) {
		results, err := by.Score(ctx, items)
		if err != nil {
			return nil, err
		}
		values := make([]float64, len(results))
		for i, res := range results {
			if values[i] = res.Score; res.Err != nil {
				r.app.warn("%s: %v", items[i].Name, res.Err)
			}
		}
		return values, nil
	})
}

// checkerName is the scorer of --checker.
const checkerName = "checker"

// byChecker takes the share of a prompt's assertions that hold in the picture.
func (r *winRateRun) byChecker(ctx context.Context) error {
	for _, p := range r.prompts {
		if _, err := miniworld.ParseCaption(p.Text); err != nil {
			return usagef("--checker: %s, line %d: %q is no caption of the mini world: %w", r.o.prompts, p.Line, p.Text, err)
		}
	}
	return r.contests(ctx, checkerName, func(items []scoring.Item) ([]float64, error) {
		values := make([]float64, len(items))
		for i, item := range items {
			values[i] = math.NaN()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if v, err := checkItem(item); err != nil {
				r.app.warn("%s: %v", item.Name, err)
			} else {
				values[i] = v
			}
		}
		return values, nil
	})
}

func checkItem(item scoring.Item) (float64, error) {
	spec, err := miniworld.ParseCaption(item.Prompt)
	if err != nil {
		return 0, err
	}
	data, err := item.Load()
	if err != nil {
		return 0, err
	}
	img, err := imageproc.Decode(item.Name, data, imageproc.Limits{})
	if err != nil {
		return 0, err
	}
	result, err := miniworld.Check(img, spec)
	return result.Frac, err
}

// contests scores both sides, a few prompts at a time, and enters the scorer.
func (r *winRateRun) contests(ctx context.Context, name string, score func([]scoring.Item) ([]float64, error)) error {
	task := r.app.progress().Start(name+" scores pictures", len(r.prompts))
	defer task.Stop()
	table := make([]evaluation.Contest, len(r.prompts))
	for first := 0; first < len(r.prompts); first += scoring.ChunkSize {
		last := min(first+scoring.ChunkSize, len(r.prompts))
		var items []scoring.Item
		for i := first; i < last; i++ {
			for _, file := range append(append([]string{}, r.a.files[i]...), r.b.files[i]...) {
				items = append(items, scoring.Item{Name: file, Prompt: r.prompts[i].Text, Load: func() ([]byte, error) { return readImageFile(file) }})
			}
		}
		values, err := score(items)
		if err != nil {
			return err
		}
		for i := first; i < last; i++ {
			a, b := len(r.a.files[i]), len(r.b.files[i])
			table[i] = evaluation.Contest{Prompt: r.prompts[i].Text, Category: r.prompts[i].Category, A: values[:a], B: values[a : a+b]}
			values = values[a+b:]
		}
		task.Set(last)
	}
	r.names, r.tables = append(r.names, name), append(r.tables, table)
	return ctx.Err()
}

// winRateLine is one scorer's result, as --json prints it.
type winRateLine struct {
	Type string `json:"type"` // "win_rate"
	A    string `json:"a"`
	B    string `json:"b"`
	evaluation.WinRate
}

func (r *winRateRun) finish() error {
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
	r.reportMissing()
	if err := r.show(results); err != nil {
		return err
	}
	if len(below) > 0 {
		return &belowError{fmt.Sprintf("the win rate of %s over %s is below %g: %s", r.o.a, r.o.b, r.o.minimum, strings.Join(below, ", "))}
	}
	if missing > 0 {
		return &partialRows{missing, len(r.prompts)}
	}
	return nil
}

// reportMissing lists prompts of which a side has no picture, or the sides have different numbers.
func (r *winRateRun) reportMissing() {
	const listed = 10
	n := 0
	for i, p := range r.prompts {
		a, b := len(r.a.files[i]), len(r.b.files[i])
		if a == b && a > 0 {
			continue
		}
		if n++; n <= listed {
			r.app.warn("%s, line %d: %d pictures of A and %d of B; the prompt is left out", r.o.prompts, p.Line, a, b)
		}
	}
	if n > listed {
		r.app.warn("%s: %d more prompts are left out", r.o.prompts, n-listed)
	}
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
