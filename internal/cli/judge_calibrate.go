package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"winnow/internal/atomicfile"
	"winnow/internal/evaluation"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// judgeCalibrateOptions is the command line of judge calibrate.
type judgeCalibrateOptions struct {
	evalOptions
	method, output string
}

func (a *app) judgeCalibrateCommand() *cobra.Command {
	o := &judgeCalibrateOptions{}
	o.asked.log = a.logger()
	c := &cobra.Command{
		Use:   "calibrate --judge URL --data FILE --output calibration.json",
		Short: "Fit a judge's probabilities to people's choices of a preference set",
		Long: `Calibrate asks the judge about every decided pair of a preference set, in both orders,
and fits what its probabilities are worth: "temperature" divides the log-odds of both
orders together by one number; "platt" scales and shifts the log-odds of every single
answer, the shift being its preference for a place. Without --method the one is taken
that has the smaller log loss. ECE (15 bins of equal mass), Brier score and log loss are
of prompts that were not fitted on (five parts, each judged by the fit on the others),
beside those without calibration. Which picture is preferred never changes, only how
surely.

The file belongs to this model, question and way of asking; --calibration FILE uses it
wherever a judge is asked to compare, and refuses any other judge.`,
		Example: "  winnow judge calibrate --judge http://localhost:8000 --data validation.jsonl --judge-cache answers.sqlite --output calibration.json",
		Args:    a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return &usageError{command: c.CommandPath(), err: err}
			}
			return a.judgeCalibrate(c.Context(), o)
		},
	}
	f := c.Flags()
	o.input.flags(f)
	f.StringVar(&o.input.file, "data", "", "file or folder of the preference set")
	f.StringVar(&o.method, "method", "", evaluation.Temperature+" or "+evaluation.Platt+" (default: the better one)")
	f.StringVar(&o.output, "output", "calibration.json", "file to write")
	o.asked.flags(f)
	f.IntVar(&o.threads, "threads", 0, "CPU threads of --judge mini (default: all)")
	o.executorOptions.flags(f)
	return c
}

func (o *judgeCalibrateOptions) check() error {
	if err := o.asked.named(); err != nil {
		return err
	}
	switch {
	case o.input.file == "":
		return usagef("name a preference set by --data FILE")
	case o.asked.calibration != "":
		return usagef("--calibration %s is what is being made; leave it out", o.asked.calibration)
	case o.method != "" && o.method != evaluation.Temperature && o.method != evaluation.Platt:
		return usagef("--method %s: want %s or %s", o.method, evaluation.Temperature, evaluation.Platt)
	}
	o.compares, o.input.keepOrder = true, true
	return errors.Join(o.asked.check(), o.executorOptions.check(), writable(o.output))
}

// calibrationLine is the result of calibrate.
type calibrationLine struct {
	Type   string `json:"type"` // "calibration"
	Output string `json:"output"`
	*evaluation.JudgeCalibration
	Judge vlmjudge.Info `json:"judge"`
}

func (a *app) judgeCalibrate(ctx context.Context, o *judgeCalibrateOptions) error {
	r := &evalRun{app: a, o: &o.evalOptions, main: &evalInput{in: o.input}, infos: map[string]rewards.Info{}}
	err := r.files(ctx)
	if err == nil {
		err = r.judge(ctx)
	}
	if err != nil {
		return err
	}
	fit, err := r.main.set.Scorers()[0].CalibrateJudge(o.method)
	if err != nil {
		return fmt.Errorf("%s: %w", o.input.file, err)
	}
	if !(fit.Scale > 0) {
		return fmt.Errorf("%s: the judge contradicts people (%.3f correct); it cannot be calibrated", o.input.file, fit.Before.Correct)
	}
	c := r.judgeAs
	c.Method, c.Scale, c.Shift = fit.Method, fit.Scale, fit.Shift
	if c.Report, err = json.Marshal(fit); err != nil {
		return err
	}
	if err := atomicfile.Write(o.output, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(c)
	}); err != nil {
		return pathError("write", o.output, err)
	}
	if fit.After.LogLoss >= fit.Before.LogLoss {
		a.warn("calibration does not help: the log loss of prompts that were not fitted on is %.4f, without it %.4f", fit.After.LogLoss, fit.Before.LogLoss)
	}
	if err := a.showCalibration(calibrationLine{"calibration", o.output, fit, r.judgeInfo}); err != nil {
		return err
	}
	if r.failed > 0 {
		return &partialRows{r.failed, max(r.main.set.Len()+r.main.broken, r.failed)}
	}
	return nil
}

func (a *app) showCalibration(l calibrationLine) error {
	if a.json {
		return a.line(l)
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintln(w, "method\tECE\tBrier\tlog loss\tcorrect\t")
		for _, f := range append([]evaluation.JudgeFigures{l.Before}, l.Tried...) {
			fmt.Fprintf(w, "%s\t%.4f\t%.4f\t%.4f\t%.4f\t\n", f.Method, f.ECE, f.Brier, f.LogLoss, f.Correct)
		}
		fmt.Fprintf(w, "\n%s\t%s: sigmoid(%.4g·logit %+.4g), fitted on %d pairs\n", l.Output, l.Method, l.Scale, l.Shift, l.Pairs)
	})
}
