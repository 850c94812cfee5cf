package cli

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"winnow/vlmjudge"
)

// judgeCompareOptions is the command line of judge compare.
type judgeCompareOptions struct {
	judgeQuestion
	html string
}

func (a *app) judgeCompareCommand() *cobra.Command {
	o := &judgeCompareOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "compare --judge URL --prompt PROMPT A B",
		Short: "Which of two pictures shows the prompt better, in both orders",
		Long: `Compare asks the judge about two pictures, once with A shown first and once with B,
and prints the probability that A is better. "logit mean", the mean of both log-odds,
takes an additive preference for a place out of it and decides; "mean" is that of the
probabilities, "bias" the log-odds that the judge gives to what is shown first, and
"inconsistent" by how much its two answers differ. An answer that is none of the
labels decides nothing, and the exit code is 3. --explain has the judge give reasons
first, which --html shows beside the pictures.`,
		Example: `  winnow judge compare --judge http://localhost:8000 --judge-model Qwen2.5-VL-7B --prompt "a red fox" a.png b.png
  winnow judge compare --judge http://localhost:8000 --prompt "a red fox" --explain --html verdict.html a.png b.png
  winnow judge compare --judge mini a.png b.png`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{command: c.CommandPath(), err: fmt.Errorf("name two images, got %d", len(args))}
			}
			if err := o.check(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeCompare(c.Context(), o, args)
		},
	}
	o.flags(c)
	c.Flags().StringVar(&o.html, "html", "", "also write a report: one self-contained HTML file, with the judge's reasons where --explain asks for them")
	return c
}

// verdictLine is the result of compare.
type verdictLine struct {
	Type   string        `json:"type"` // "verdict"
	Prompt string        `json:"prompt"`
	A      string        `json:"a"`
	B      string        `json:"b"`
	Better string        `json:"better,omitempty"` // the file; "": neither
	Judge  vlmjudge.Info `json:"judge"`
	vlmjudge.Comparison
}

func (a *app) judgeCompare(ctx context.Context, o *judgeCompareOptions, files []string) (err error) {
	start := time.Now()
	if err := writable(o.html); err != nil {
		return err
	}
	if err := o.settlePrompt(files); err != nil {
		return err
	}
	images, err := decodeFiles(files)
	if err != nil {
		return err
	}
	j, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	c, err := j.Compare(ctx, o.prompt, images[0], images[1])
	if err != nil {
		return err
	}
	v := verdictLine{Type: "verdict", Prompt: o.prompt, A: files[0], B: files[1], Judge: j.Info(), Comparison: c}
	switch {
	case c.LogitMean > .5:
		v.Better = v.A
	case c.LogitMean < .5:
		v.Better = v.B
	}
	if o.html != "" {
		e := explainedBy(j, &o.asked)
		e.add(e.pair(o.prompt, [2]string(files), [2]image.Image{thumb(images[0]), thumb(images[1])}, c))
		if err := writePage(o.html, e.page("winnow judge compare", "pair", start)); err != nil {
			return err
		}
	}
	if err := a.showVerdict(&v); err != nil {
		return err
	}
	if c.Abstained {
		return &unansweredError{1, 1}
	}
	return nil
}

func (a *app) showVerdict(v *verdictLine) error {
	if a.json {
		return a.line(v)
	}
	return a.table(func(w io.Writer) {
		switch {
		case v.Abstained:
			fmt.Fprintln(w, "better\tnot decided: the judge gave no readable answer")
		case v.Better == "":
			fmt.Fprintln(w, "better\tneither")
		default:
			fmt.Fprintf(w, "better\t%s\n", v.Better)
		}
		fmt.Fprintf(w, "logit mean\t%.4f\tprobability of %s, the preference for a place taken out\n", v.LogitMean, v.A)
		fmt.Fprintf(w, "mean\t%.4f\tof both orders\n", v.Mean)
		fmt.Fprintf(w, "%s first\t%.4f\tmass %.3f\n", v.A, v.AFirst.P, v.AFirst.Mass)
		fmt.Fprintf(w, "%s first\t%.4f\tmass %.3f\n", v.B, 1-v.BFirst.P, v.BFirst.Mass)
		fmt.Fprintf(w, "bias\t%+.4f\tlog-odds for what is shown first\n", math.Round(v.Bias*1e4)/1e4+0) // no -0
		fmt.Fprintf(w, "inconsistent\t%.4f\tbetween the orders\n", v.Inconsistent)
		fmt.Fprintf(w, "formula\t%s\n", v.AFirst.Formula)
		a, b := v.AFirst.Tokens, v.BFirst.Tokens
		fmt.Fprintf(w, "tokens\t%d\tread, %d written\n", a.Prompt+b.Prompt, a.Completion+b.Completion)
	})
}
