package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"winnow/datasets"
	"winnow/internal/evaluation"
	"winnow/rewards/metric"
)

// evalOptions is the command line of eval.
type evalOptions struct {
	input      dataInput
	scores     []string
	validation string
}

func (a *app) evalCommand() *cobra.Command {
	o := &evalOptions{}
	c := &cobra.Command{
		Use:   "eval SET --data PATH --scores FILE.jsonl",
		Short: "Compare scores with the human preferences of a public set",
		Long: `Eval computes, for scores of a set's pictures, the figures that belong to the set,
under the names that tell the definitions apart, with 95 % bootstrap intervals over
prompts (and Wilson's, which takes pairs for independent) and beside the published
figures. SET is a format of "winnow data formats", or auto.

Scores are JSON lines {"image": path, "prompt": …, "score": x}; the path is that of
the set's file or on disk, and the prompt may be left out where pictures belong to
one prompt. Pictures without a score are listed and leave their row out: exit 3.
For the tie threshold of Pick-a-Pic, --validation names the set to choose it on; the
scores must hold its pictures too.`,
		Example: `  winnow eval imagereward --data ImageReward/data/test.json --scores hpsv2.jsonl --scores pickscore.jsonl
  winnow eval pickapic --data test_unique.parquet --validation validation_unique.parquet --scores s.jsonl --json`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || o.input.file == "" || len(o.scores) == 0 {
				return &usageError{command: c.CommandPath(), err: errors.New("name a set, --data and --scores")}
			}
			if o.input.format = args[0]; args[0] == "auto" {
				o.input.format = ""
			}
			return a.eval(c.Context(), o)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.input.file, "data", "", "file or folder of the set")
	f.StringVar(&o.input.images, "images", "", "folder that image paths start from (default: the file's)")
	f.StringArrayVar(&o.scores, "scores", nil, "JSON lines with a score for every picture; may be repeated to compare scorers")
	f.StringVar(&o.validation, "validation", "", "set to choose the tie threshold of pickapic.tie_threshold on")
	return c
}

// evalLine is one scorer's result, as --json prints it.
type evalLine struct {
	Type string `json:"type"` // "eval"
	Set  string `json:"set"`
	evaluation.Result
	Baselines []evaluation.Baseline `json:"baselines,omitempty"`
}

func (a *app) eval(ctx context.Context, o *evalOptions) error {
	failed, total := 0, 0
	for _, file := range o.scores {
		scores, broken, err := evaluation.ReadScores(file)
		if err != nil {
			return err
		}
		for _, b := range broken {
			failed++
			a.warn("%v", b)
		}
		threshold := math.NaN()
		if o.validation != "" {
			in := o.input
			in.file = o.validation
			set, _, err := a.evalSet(ctx, &in, scores)
			if err != nil {
				return err
			}
			threshold = metric.ChooseTieThreshold(set.Pairs())
		}
		set, rows, err := a.evalSet(ctx, &o.input, scores)
		if err != nil {
			return err
		}
		r := set.Result(threshold)
		if r.Scored == 0 {
			return fmt.Errorf("%s: holds scores for no row of %s; are the paths those of the set?", file, o.input.file)
		}
		failed, total = failed+r.Missing+rows, total+r.Records+rows
		if n := scores.Unused(); n > 0 {
			a.warn("%s: %d scores belong to no picture of the set", file, n)
		}
		if err := a.showEval(evalLine{"eval", string(set.Format), r, evaluation.Baselines(set.Format)}); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &partialRows{failed, max(total, failed+1)}
	}
	return nil
}

// evalSet reads a whole set. It returns the number of rows that could not be read, which it has listed.
func (a *app) evalSet(ctx context.Context, in *dataInput, scores *evaluation.Scores) (*evaluation.Set, int, error) {
	r, err := in.open(true)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	set := evaluation.NewSet(r.Info().Name, scores.Name, func(err error) { a.warn("%v", err) })
	w := &rows{app: a}
	err = w.each(ctx, r, func(rec *datasets.Record) error {
		set.Add(rec, scores)
		return nil
	})
	return set, w.broken, err
}

func (a *app) showEval(l evalLine) error {
	if a.json {
		return a.line(l)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s: %d of %d rows scored\n", l.Scorer, l.Set, l.Scored, l.Records)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range l.Parts {
		if p.Category != "" {
			fmt.Fprintf(w, "\n%s\n", p.Category)
		}
		evalFigures(w, p.Figures)
	}
	if len(l.Baselines) > 0 {
		fmt.Fprintf(w, "\npublished\n")
		for _, base := range l.Baselines {
			name := base.Metric
			if name == "" {
				name = "(definition not named)"
			}
			fmt.Fprintf(w, "%s\t%.3f\t\t%s\t%s\n", name, float64(base.Value), base.Scorer, base.Source)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

func evalFigures(w io.Writer, figures []evaluation.Figure) {
	for _, f := range figures {
		interval := ""
		if !math.IsNaN(float64(f.Low)) {
			interval = fmt.Sprintf("[%.4f, %.4f]", float64(f.Low), float64(f.High))
		}
		note := f.Note
		if f.WilsonHigh > 0 {
			note = fmt.Sprintf("Wilson [%.4f, %.4f]", float64(f.WilsonLow), float64(f.WilsonHigh))
		}
		fmt.Fprintf(w, "%s\t%.4f\t%s\t%d %s\t%s\n", f.Metric, float64(f.Value), interval, f.Of, f.Unit, note)
	}
}
