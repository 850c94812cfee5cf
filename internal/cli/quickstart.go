package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"winnow/internal/minibench"
	"winnow/internal/report"
)

// quickstartOptions is the command line of quickstart.
type quickstartOptions struct {
	output  string
	seed    uint64
	threads int
}

// The sizes of the story. They fit three minutes on two cores.
const (
	quickPrompts  = 260   // that pairs are made for
	quickPictures = 8     // of each
	quickScales   = "1,3" // guidance scales of their halves
	quickPairs    = 4     // of each prompt
	quickSteps    = 10    // of the sampler
	quickUpdates  = 200
	quickBatch    = 32
	quickHeldOut  = 400
	quickGuidance = 1 // of the comparison
	quickShown    = 6 // prompts in the report
)

func (a *app) quickstartCommand() *cobra.Command {
	o := &quickstartOptions{}
	c := &cobra.Command{
		Use:   "quickstart",
		Short: "The whole story on the embedded model in three minutes",
		Long: `Quickstart makes pictures with the embedded model, lets the embedded reward say which are
better, trains a LoRA on these preferences by Diffusion-DPO, and compares the model with and
without it on prompts that it has not seen: by the reward, and by a checker that knows
exactly what is on a picture. Half of the pictures that it learns from are made with
classifier-free guidance; what is compared is made without, in half the time. It writes one report and prints its path. Every part is a
command of its own, which is printed before it runs.`,
		Example: "  winnow quickstart",
		Args:    a.noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.quickstart(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVarP(&o.output, "output", "o", "quickstart", "folder")
	f.Uint64Var(&o.seed, "seed", 0, "of pictures and training")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	return c
}

func (a *app) quickstart(ctx context.Context, o *quickstartOptions) error {
	began := time.Now()
	if err := os.MkdirAll(o.output, 0o777); err != nil {
		return err
	}
	prompts, err := trainingPrompts(quickPrompts, 1+o.seed)
	if err != nil {
		return err
	}
	list := filepath.Join(o.output, "prompts.txt")
	if err := writeFile(list, []byte(strings.Join(prompts, "\n")+"\n")); err != nil {
		return err
	}
	pairs, run := filepath.Join(o.output, "pairs.parquet"), filepath.Join(o.output, "aligned")
	seed, threads := strconv.FormatUint(o.seed, 10), strconv.Itoa(o.threads)
	train := []string{
		"train", "dpo", "--data", pairs, "--output", run, "--max-train-steps", strconv.Itoa(quickUpdates), "--train-batch-size", strconv.Itoa(quickBatch),
		"--learning-rate", "1e-3", "--lr-scheduler", "cosine", "--beta-dpo", "500", "--seed", seed, "--threads", threads, "--checkpointing-steps", strconv.Itoa(quickUpdates / 2),
		"--validation-inference-steps", strconv.Itoa(quickSteps), "--validation-guidance-scale", strconv.Itoa(quickGuidance), "--resume-from-checkpoint", "latest",
	}
	shown, err := minibench.Prompts("validation", quickShown)
	if err != nil {
		return err
	}
	for _, p := range shown {
		train = append(train, "--validation-prompt", p.Text)
	}
	for _, args := range [][]string{
		{
			"label", "--prompts", list, "--num-images", strconv.Itoa(quickPictures), "--steps", strconv.Itoa(quickSteps),
			"--guidance-scales", quickScales, "--pairs", "all", "--pairs-per-prompt", strconv.Itoa(quickPairs), "--seed", seed, "--threads", threads, "--output", pairs,
		},
		train,
	} {
		if err := a.part(ctx, args); err != nil {
			return err
		}
	}
	compared, err := a.quickCompare(ctx, o, run)
	if err != nil {
		return err
	}
	return a.quickReport(o, run, compared, time.Since(began))
}

// part runs another command as a part of this one. What it prints as its result is not the result of this one.
func (a *app) part(ctx context.Context, args []string) error {
	if !a.quiet {
		fmt.Fprintf(a.stderr, "$ winnow %s\n", strings.Join(args, " "))
	}
	sub := &app{stdout: io.Discard, stderr: a.stderr, quiet: a.quiet}
	root := sub.root()
	if a.quiet {
		args = append(args, "--quiet")
	}
	root.SetArgs(args)
	root.SetOut(io.Discard)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if sub.trained != nil {
		a.trained = sub.trained
	}
	return err
}

// quickCompare draws held-out prompts with the base and with the adapter, from the same noise.
func (a *app) quickCompare(ctx context.Context, o *quickstartOptions, run string) (_ []minibench.AlignReport, err error) {
	b := &benchAlignOptions{benchOptions: benchOptions{
		model: "mini", set: "heldout", guidance: []float64{quickGuidance}, steps: quickSteps, limit: quickHeldOut, batch: 16, threads: o.threads, seed: 11,
	}, adapters: []string{"aligned=" + run}}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "$ winnow bench align --guidance-scale %d --steps %d --limit %d --adapter %s\n", quickGuidance, quickSteps, quickHeldOut, b.adapters[0])
	}
	return a.compare(ctx, b)
}

// quickReport writes the page and says where it is.
func (a *app) quickReport(o *quickstartOptions, run string, compared []minibench.AlignReport, took time.Duration) error {
	page := a.trained
	if page == nil {
		return errors.New("quickstart: the training left no report")
	}
	aligned := compared[len(compared)-1]
	page.Title, page.Subtitle = "Quickstart: the embedded model, aligned", fmt.Sprintf(
		"Diffusion-DPO on pictures of %d prompts, %d each with guidance scales %s, labelled by the embedded reward; compared on %d new prompts with guidance scale %d; all of it took %s.",
		quickPrompts, quickPictures, quickScales, aligned.Prompts, quickGuidance, took.Round(time.Second))
	page.Command = "winnow quickstart"
	for _, by := range []struct{ name, about string }{
		{"reward", "embedded reward, which made the labels"}, {"score", "exact checker, which the training never saw"},
	} {
		w := aligned.Wins[by.name]
		page.WinRates = append(page.WinRates, report.WinRate{Reward: by.about, Rate: w.Mean, Low: w.Low, High: w.High, Prompts: aligned.Prompts})
	}
	var b bytes.Buffer
	if err := page.WriteHTML(&b); err != nil {
		return err
	}
	file := filepath.Join(o.output, reportFile)
	if err := writeFile(file, b.Bytes()); err != nil {
		return err
	}
	return a.quickResult(file, run, compared, took)
}

func (a *app) quickResult(file, run string, compared []minibench.AlignReport, took time.Duration) error {
	base, aligned := compared[0], compared[len(compared)-1]
	if a.json {
		return a.line(struct {
			Type    string                `json:"type"`
			Report  string                `json:"report"`
			Adapter string                `json:"adapter"`
			Seconds float64               `json:"seconds"`
			Base    minibench.AlignReport `json:"base"`
			Aligned minibench.AlignReport `json:"aligned"`
		}{"quickstart", file, run, took.Seconds(), base, aligned})
	}
	if !a.quiet {
		fmt.Fprintf(a.stderr, "on %d new prompts the aligned model wins %v by the reward (%s) and %v by the exact checker; %s in all\n",
			aligned.Prompts, aligned.Wins["reward"], aligned.Over["reward"].Signed(), aligned.Wins["score"], took.Round(time.Second))
	}
	_, err := fmt.Fprintln(a.stdout, file)
	return err
}
