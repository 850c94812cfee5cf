package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/atomicfile"
	"winnow/internal/minibench"
	"winnow/internal/miniworld"
	"winnow/rewards"
	"winnow/vlmjudge"
)

// benchJudgeOptions is the command line of bench judge.
type benchJudgeOptions struct {
	benchOptions
	count, repeats int
	calls          []int
	judge          minibench.SimulatedJudge
	groups         string
}

func (a *app) benchJudgeCommand() *cobra.Command {
	o := &benchJudgeOptions{}
	c := &cobra.Command{
		Use:   "judge",
		Short: "Compare ways to ask a judge at equal numbers of questions",
		Long: `Judge draws several pictures for each prompt of a set of the mini world and ranks them
by a simulated judge, which sees the exact checker's scores through noise, a preference
for the picture shown first and lapses. Each way to ask gets the same number of questions:
the schedules of "winnow rank --judge-schedule", whose answers about pairs make Bradley-
Terry strengths; selection ("which of all is best?", in another order each time); and
pointwise scoring (marks of 1 to 5). Answers are probabilities or single sampled votes.

Printed are Kendall's tau with the checker's order and what the first of the ranking lacks
to the best picture, with 95 % bootstrap intervals over prompts, and the difference in tau
to selection and pointwise scoring with the same kind of answers (paired; --json has all
four). A picture gets the same noise in every kind of question, though a question about
eight pictures shows four times as many as one about two; "pictures" counts them.

--groups keeps what the pictures scored, so that other judges are measured in seconds.`,
		Example: `  winnow bench judge --groups groups.json
  winnow bench judge --groups groups.json --noise 2 --bias 1 --calls 16 --json`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchJudge(c.Context(), o) },
	}
	f := c.Flags()
	o.benchOptions.flags(f, []float64{3}, 99)
	for name, value := range map[string]string{"limit": "100", "steps": "10"} {
		flag := f.Lookup(name)
		flag.DefValue = value
		if err := flag.Value.Set(value); err != nil {
			panic(err) // constants
		}
	}
	f.Lookup("limit").Usage = "use the first prompts of the set only; 0: all"
	f.IntVar(&o.count, "num-images", 8, "pictures per prompt")
	f.IntSliceVar(&o.calls, "calls", []int{16, 32, 56}, "questions about the pictures of one prompt")
	f.Float64Var(&o.judge.Scale, "scale", 0.1, "difference of the checker's scores at which the judge's odds are e to 1")
	f.Float64Var(&o.judge.Noise, "noise", 1, "standard deviation of a pair's log-odds")
	f.Float64Var(&o.judge.Bias, "bias", 0.5, "log-odds for the picture shown first")
	f.Float64Var(&o.judge.Lapse, "lapse", 0.05, "share of answers that have nothing to do with the pictures")
	f.Uint64Var(&o.judge.Seed, "judge-seed", 1, "of the judge's noise")
	f.IntVar(&o.repeats, "repeats", 5, "judges of other noise per prompt, whose figures are averaged")
	f.StringVar(&o.groups, "groups", "", "file that keeps the scores of the pictures; made where it does not exist")
	return c
}

func (o *benchJudgeOptions) check() error {
	if o.count < 2 || o.repeats < 1 || len(o.guidance) != 1 || len(o.calls) == 0 {
		return usagef("want --num-images of 2 or more, --repeats of 1 or more, one --guidance-scale and at least one of --calls")
	}
	for _, n := range o.calls {
		if n < 2 {
			return usagef("--calls %d: a comparison takes two questions", n)
		}
	}
	j := o.judge
	if !(j.Scale > 0) || !(j.Noise >= 0) || !(j.Lapse >= 0 && j.Lapse <= 1) || math.IsNaN(j.Bias) || math.IsInf(j.Scale+j.Noise+j.Bias, 0) {
		return usagef("want --scale above 0, --noise of 0 or more, --lapse from 0 to 1, and finite numbers")
	}
	return nil
}

func (a *app) benchJudge(ctx context.Context, o *benchJudgeOptions) error {
	prompts, err := o.read()
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return err
	}
	groups, err := a.judgeGroups(ctx, o, prompts)
	if err != nil {
		return err
	}
	bar := a.progress().Start("asking", len(groups))
	defer bar.Stop()
	reports, err := minibench.RunJudges(ctx, groups, minibench.JudgeOptions{
		Judge: o.judge, Calls: o.calls, Repeats: o.repeats, Temperature: rewards.MiniTemperature, OnGroup: func(done, _ int) { bar.Set(done) },
	})
	if err != nil {
		return err
	}
	bar.Stop()
	return a.showBenchJudge(o, reports)
}

// groupsFile is the file of --groups.
type groupsFile struct {
	Settings string                 `json:"settings"`
	Groups   []minibench.JudgeGroup `json:"groups"`
}

func (o *benchJudgeOptions) settings() string {
	return fmt.Sprintf("model %s, prompts %s, limit %d, %d pictures, %d steps, guidance %g, scheduler %q, seed %d",
		o.model, o.set, o.limit, o.count, o.steps, o.guidance[0], o.scheduler, o.seed)
}

// judgeGroups reads the file of --groups, or draws pictures and writes it.
func (a *app) judgeGroups(ctx context.Context, o *benchJudgeOptions, prompts []miniworld.Prompt) ([]minibench.JudgeGroup, error) {
	if o.groups != "" {
		data, err := os.ReadFile(o.groups)
		if err == nil {
			return o.readGroups(data, len(prompts))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, pathError("read", o.groups, err)
		}
		if err := writable(o.groups); err != nil {
			return nil, err
		}
	}
	groups, err := a.drawGroups(ctx, o, prompts)
	if err != nil || o.groups == "" {
		return groups, err
	}
	return groups, pathError("write", o.groups, atomicfile.Write(o.groups, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(groupsFile{o.settings(), groups})
	}))
}

func (o *benchJudgeOptions) readGroups(data []byte, prompts int) ([]minibench.JudgeGroup, error) {
	var f groupsFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%s: is no file of bench judge --groups: %w", o.groups, err)
	}
	if f.Settings != o.settings() {
		return nil, usagef("--groups %s holds pictures of other settings: %s; want %s", o.groups, f.Settings, o.settings())
	}
	if len(f.Groups) != prompts {
		return nil, fmt.Errorf("%s: holds %d groups, want %d; remove it", o.groups, len(f.Groups), prompts)
	}
	for _, g := range f.Groups {
		if len(g.Checker) != o.count || len(g.Reward) != o.count {
			return nil, fmt.Errorf("%s: prompt %q has %d and %d scores, want %d; remove it", o.groups, g.Prompt, len(g.Checker), len(g.Reward), o.count)
		}
	}
	return f.Groups, nil
}

func (a *app) drawGroups(ctx context.Context, o *benchJudgeOptions, prompts []miniworld.Prompt) (groups []minibench.JudgeGroup, err error) {
	m, err := rewards.Open(ctx, rewards.Mini, "", &rewards.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	p, err := diffusion.Open(ctx, o.model, &diffusion.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: a.logger()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	bar := a.progress().Start("drawing", len(prompts)*o.count)
	defer bar.Stop()
	return minibench.JudgeGroups(ctx, p, m, prompts, o.count, minibench.Options{
		Steps: o.steps, Guidance: o.guidance[0], Scheduler: o.scheduler, Seed: o.seed, Batch: o.batch, OnPicture: func(done, _ int) { bar.Set(done) },
	})
}

func (a *app) showBenchJudge(o *benchJudgeOptions, reports []minibench.JudgeReport) error {
	if a.json {
		for _, r := range reports {
			if err := a.line(struct {
				Type string `json:"type"`
				minibench.JudgeReport
				Judge minibench.SimulatedJudge `json:"judge"`
			}{"judge_figures", r, o.judge}); err != nil {
				return err
			}
		}
		return nil
	}
	return a.table(func(w io.Writer) {
		j := o.judge
		fmt.Fprintf(w, "%d prompts, %d pictures each; a simulated judge: scale %g, noise %g, bias %g, lapses %g\n", reports[0].Groups, o.count, j.Scale, j.Noise, j.Bias, j.Lapse)
		budget := -1
		for _, r := range reports {
			if r.Budget != budget {
				budget = r.Budget
				title := fmt.Sprintf("%d questions", budget)
				if budget == 0 {
					title = "nobody asked"
				}
				fmt.Fprintf(w, "\n%s\tanswers\tcalls\tpictures\ttau\tregret\ttau over selection\ttau over pointwise\n", title)
			}
			method, over := r.Method, make([]string, 0, 2)
			if method == vlmjudge.Cascade {
				method += " (with the reward)"
			}
			for _, base := range []string{minibench.Selection, minibench.Pointwise} {
				text := ""
				if d, ok := r.OverTau[base+", "+r.Answers]; ok {
					text = fmt.Sprintf("%v p %.4f", d.Figure, d.P)
				}
				over = append(over, text)
			}
			fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%v\t%v\t%s\n", method, r.Answers, r.Calls, r.Pictures, r.Tau, r.Regret, strings.Join(over, "\t"))
		}
	})
}
