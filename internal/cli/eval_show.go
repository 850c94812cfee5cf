package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"winnow/internal/evaluation"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// evalLine is one scorer's result, as --json prints it.
type evalLine struct {
	Type string `json:"type"` // "eval"
	Set  string `json:"set"`
	evaluation.Result
	Reward    *rewards.Info         `json:"reward,omitempty"`
	Judge     *vlmjudge.Info        `json:"judge,omitempty"`
	Baselines []evaluation.Baseline `json:"baselines,omitempty"`
}

// comparisonLine is two scorers, as --json prints them.
type comparisonLine struct {
	Type string `json:"type"` // "comparison"
	evaluation.Comparison
}

// agreementLine is the agreement of all scorers, as --json prints it.
type agreementLine struct {
	Type string `json:"type"` // "agreement"
	evaluation.Agreement
}

func (a *app) showEval(l evalLine) error {
	if a.json {
		return a.line(l)
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "%s on %s: %d of %d rows scored\n", l.Scorer, l.Set, l.Scored, l.Records)
		for _, p := range l.Parts {
			if p.Category != "" {
				fmt.Fprintf(w, "\n%s\n", p.Category)
			}
			evalFigures(w, p.Figures)
		}
		if c := l.Calibration; c != nil {
			fmt.Fprintf(w, "\ncalibration\tECE %.4f\tBrier %.4f, log loss %.4f\t%d pairs\tP = σ(margin / %.4g)\n", float64(c.ECE), float64(c.Brier), float64(c.LogLoss), c.Pairs, float64(c.Temperature))
		}
		if len(l.Baselines) > 0 {
			fmt.Fprintf(w, "\npublished\n")
		}
		for _, base := range l.Baselines {
			name := base.Metric
			if name == "" {
				name = "(definition not named)"
			}
			fmt.Fprintf(w, "%s\t%.3f\t\t%s\t%s\n", name, float64(base.Value), base.Scorer, base.Source)
		}
	})
}

// table aligns what fill writes: cells end in a tab.
func (a *app) table(fill func(w io.Writer)) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fill(w)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

func evalFigures(w io.Writer, figures []evaluation.Figure) {
	for _, f := range figures {
		note := f.Note
		if f.WilsonLow != nil && f.Of > 0 {
			note = fmt.Sprintf("Wilson [%.4f, %.4f]", float64(*f.WilsonLow), float64(*f.WilsonHigh))
		}
		fmt.Fprintf(w, "%s\t%.4f\t%s\t%d %s\t%s\n", f.Metric, float64(f.Value), interval(f.Low, f.High), f.Of, f.Unit, note)
	}
}

// interval is "" for figures without one.
func interval(low, high evaluation.Number) string {
	if math.IsNaN(float64(low)) {
		return ""
	}
	return fmt.Sprintf("[%.4f, %.4f]", float64(low), float64(high))
}

// showComparisons prints what several scorers have to do with each other.
func (a *app) showComparisons(set *evaluation.Set) error {
	comparisons := set.Comparisons()
	if len(comparisons) == 0 {
		return nil
	}
	agreement := set.Agreement()
	if a.json {
		for _, c := range comparisons {
			if err := a.line(comparisonLine{"comparison", c}); err != nil {
				return err
			}
		}
		return a.line(agreementLine{"agreement", agreement})
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "\ndifferences on decided pairs\n")
		for _, c := range comparisons {
			fmt.Fprintf(w, "%s − %s\t%+.4f\t%s\t%d pairs of %d prompts\tp %.4f, McNemar %.4f\n",
				c.A, c.B, float64(c.Difference), interval(c.Low, c.High), c.Pairs, c.Prompts, float64(c.P), float64(c.McNemar))
		}
		fmt.Fprintf(w, "\nagreement")
		for i, name := range agreement.Names {
			fmt.Fprintf(w, "\n%s", name)
			for _, share := range agreement.Share[i] {
				if math.IsNaN(float64(share)) {
					fmt.Fprint(w, "\t-")
					continue
				}
				fmt.Fprintf(w, "\t%.3f", float64(share))
			}
		}
		fmt.Fprintln(w)
	})
}
