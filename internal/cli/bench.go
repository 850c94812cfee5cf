package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"winnow/diffusion"
	"winnow/internal/minibench"
	"winnow/internal/miniworld"
)

// benchOptions is the command line of bench mini.
type benchOptions struct {
	model, set, scheduler string
	guidance              []float64
	steps, limit, batch   int
	threads               int
	seed                  uint64
	executorOptions
}

func (a *app) benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how good pictures are",
		Args:  subcommandOnly,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.benchMiniCommand(), a.benchRewardCommand(), a.benchSearchCommand(), a.benchAlignCommand(), a.benchJudgeCommand(), a.benchMethodsCommand(), a.benchPromptsCommand())
	return c
}

func (a *app) benchMiniCommand() *cobra.Command {
	o := &benchOptions{}
	c := &cobra.Command{
		Use:   "mini",
		Short: "Score a model on the mini world by its exact checker",
		Long: `Mini draws one picture for each prompt of a set of the mini world and lets the
exact checker say how much of the prompt is there: strict (every assertion holds),
frac (share of assertions that hold), clean (sharp edges, flat areas) and score
(frac + 0.3 clean), each with a 95 % bootstrap interval over prompts. With the
defaults it repeats the figures of assets/mini/EVAL.md.`,
		Example: `  winnow bench mini
  winnow bench mini --guidance-scale 3 --limit 100 --json`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchMini(c.Context(), o) },
	}
	o.flags(c.Flags(), []float64{1, 3, 5, 7.5}, 11)
	return c
}

func (o *benchOptions) flags(f *pflag.FlagSet, guidance []float64, seed uint64) {
	f.SortFlags = false
	f.StringVarP(&o.model, "model", "m", diffusion.Mini, "model folder in diffusers' ONNX layout, or \"mini\" (embedded)")
	f.StringVar(&o.set, "prompts", "heldout", "prompt set: heldout (500, for figures) or validation (300, for choosing settings)")
	f.Float64SliceVar(&o.guidance, "guidance-scale", guidance, "guidance scales to measure")
	f.StringVar(&o.scheduler, "scheduler", "", "scheduler (default: the model's)")
	f.IntVar(&o.steps, "steps", 25, "sampling steps")
	f.Uint64Var(&o.seed, "seed", seed, "of the initial noise of all pictures")
	f.IntVar(&o.limit, "limit", 0, "use the first prompts of the set only (default: all)")
	f.IntVar(&o.batch, "batch-size", 16, "pictures per network call")
	f.IntVar(&o.threads, "threads", 0, "CPU threads (default: all)")
	o.executorOptions.flags(f)
}

func (a *app) benchMini(ctx context.Context, o *benchOptions) error {
	prompts, err := o.read()
	if err != nil {
		return err
	}
	p, err := diffusion.Open(ctx, o.model, &diffusion.Options{
		Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: a.logger(),
	})
	if err != nil {
		return err
	}
	defer p.Close()
	bar := a.progress().Start("drawing", len(prompts)*len(o.guidance))
	defer bar.Stop()
	var reports []minibench.Report
	for i, g := range o.guidance {
		r, err := minibench.Run(ctx, p, prompts, minibench.Options{
			Steps: o.steps, Guidance: g, Scheduler: o.scheduler, Seed: o.seed, Batch: o.batch,
			OnPicture: func(done, total int) { bar.Set(i*total + done) },
		})
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	bar.Stop()
	if a.json {
		return a.benchJSON(reports)
	}
	return a.benchTable(reports)
}

// read checks the options and loads the prompts.
func (o *benchOptions) read() ([]miniworld.Prompt, error) {
	if err := o.executorOptions.check(); err != nil {
		return nil, err
	}
	for flag, value := range map[string]int{"steps": o.steps, "batch-size": o.batch, "limit": o.limit + 1, "threads": o.threads + 1} {
		if value < 1 {
			return nil, usagef("--%s: the value is too small", flag)
		}
	}
	for _, g := range o.guidance {
		if !(g > 0) {
			return nil, usagef("--guidance-scale %g: want numbers above 0; 1 turns guidance off", g)
		}
	}
	prompts, err := minibench.Prompts(o.set, o.limit)
	if err != nil {
		return nil, usagef("--prompts %s: %v", o.set, err)
	}
	return prompts, nil
}

func (a *app) benchJSON(reports []minibench.Report) error {
	enc := json.NewEncoder(a.stdout)
	for _, r := range reports {
		if err := enc.Encode(struct {
			Type string `json:"type"`
			minibench.Report
		}{"figures", r}); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) benchTable(reports []minibench.Report) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	kinds := slices.Sorted(maps.Keys(reports[0].StrictByKind))
	fmt.Fprintf(w, "guidance\tstrict\tfrac\tclean\tscore\tstrict: %s\n", strings.Join(kinds, "\t"))
	for _, r := range reports {
		fmt.Fprintf(w, "%g\t%v\t%v\t%v\t%v", r.GuidanceScale, r.Strict, r.Frac, r.Clean, r.Score)
		for _, k := range kinds {
			fmt.Fprintf(w, "\t%.3f", r.StrictByKind[k].Mean)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
