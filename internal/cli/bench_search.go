package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/minibench"
	"winnow/rewards"
	"winnow/sampling"
)

// benchSearchOptions is the command line of bench search.
type benchSearchOptions struct {
	benchOptions
	methods   []string
	settings  []string
	multiples []int
	checker   bool
	join      []string
	markdown  bool
}

func (a *app) benchSearchCommand() *cobra.Command {
	o := &benchSearchOptions{}
	c := &cobra.Command{
		Use:   "search",
		Short: "Compare search methods on the mini world at equal cost",
		Long: `Search lets every method of "winnow generate --search" spend the same number of
evaluations of the denoiser on each prompt of a set of the mini world, and compares the
pictures that they end with: by the reward that they search for, by the exact checker,
which they never see (or, with --checker, the other way round), with 95 % bootstrap
intervals over prompts, and with random search at the same budget (paired).`,
		Example: `  winnow bench search --limit 20 --methods random --budgets 4
  winnow bench search --limit 300 --steps 10`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchSearch(c.Context(), o) },
	}
	f := c.Flags()
	o.benchOptions.flags(f, []float64{3}, 1000)
	var names []string
	for _, s := range sampling.SearchMethods() {
		names = append(names, s.Name)
	}
	f.StringSliceVar(&o.methods, "methods", names, "methods to compare")
	f.StringArrayVar(&o.settings, "search-option", nil, "setting of the method, as in temperature=0.2, where one method is compared with random search (repeatable)")
	f.IntSliceVar(&o.multiples, "budgets", []int{8, 16}, "budgets, in pictures of plain sampling")
	f.StringArrayVar(&o.join, "join", nil, "run nothing; put earlier runs together: a file of lines that --json printed (repeatable)")
	f.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	f.BoolVar(&o.checker, "checker", false, "search by the exact checker and hold the embedded reward out")
	return c
}

func (a *app) benchSearch(ctx context.Context, o *benchSearchOptions) (err error) {
	if len(o.join) > 0 {
		return a.joinBenchSearch(o)
	}
	prompts, err := o.read()
	if err != nil {
		return err
	}
	if len(o.guidance) != 1 || len(o.methods) == 0 || len(o.multiples) == 0 {
		return usagef("want one --guidance-scale, and at least one of --methods and --budgets")
	}
	var other []string
	for _, name := range o.methods {
		if name != "random" {
			other = append(other, name)
		}
		if info, err := sampling.FindSearch(name); err != nil {
			return usagef("--methods: %w", err)
		} else if info.Gradient && o.checker {
			return usagef("--methods: %s climbs the gradient of a reward, and the checker has none", name)
		}
	}
	if len(o.settings) > 0 {
		if len(other) != 1 {
			return usagef("--search-option: want one method in --methods besides random")
		}
		if err := checkSearchOptions(other[0], o.settings); err != nil {
			return err
		}
	}
	for _, m := range o.multiples {
		if m < 1 {
			return usagef("--budgets %d: want at least 1", m)
		}
	}
	p, err := diffusion.Open(ctx, o.model, &diffusion.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: a.logger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	m, err := rewards.Open(ctx, rewards.Mini, "", &rewards.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	bar := a.progress().Start("searching", len(prompts)*(1+len(o.methods)*len(o.multiples)))
	defer bar.Stop()
	reports, err := minibench.RunSearches(ctx, p, by(m), prompts, minibench.SearchOptions{
		Methods: o.methods, Settings: o.settings, Multiples: o.multiples, Steps: o.steps, Guidance: o.guidance[0], Seed: o.seed, ByChecker: o.checker, Slope: m.PixelGradient,
		OnPrompt: func(done, _ int) { bar.Set(done) },
	})
	bar.Stop()
	return errors.Join(a.showBenchSearch(reports, o.markdown), err)
}

// joinBenchSearch shows what earlier runs found.
func (a *app) joinBenchSearch(o *benchSearchOptions) error {
	var runs []io.Reader
	for _, name := range o.join {
		f, err := os.Open(name)
		if err != nil {
			return pathError("read", name, err)
		}
		defer f.Close()
		runs = append(runs, f)
	}
	reports, err := minibench.JoinSearches(runs, o.checker)
	if err != nil {
		return fmt.Errorf("--join: %w", err)
	}
	return a.showBenchSearch(reports, o.markdown)
}

func (a *app) showBenchSearch(reports []minibench.SearchReport, markdown bool) error {
	if markdown {
		return a.markdownTable(searchTable(reports))
	}
	if a.json {
		for _, r := range reports {
			if err := a.line(struct {
				Type string `json:"type"`
				minibench.SearchReport
			}{"search_figures", r}); err != nil {
				return err
			}
		}
		return nil
	}
	return a.table(func(w io.Writer) {
		fmt.Fprintf(w, "method\tbudget\tspent\tscored\treward\tchecker\tstrict\tover random\tp\n")
		for _, r := range reports {
			over, p := "", ""
			if r.P > 0 {
				over, p = r.OverRandom.String(), fmt.Sprintf("%.4f", r.P)
			}
			fmt.Fprintf(w, "%s\t%d×\t%.0f\t%.1f\t%v\t%v\t%v\t%s\t%s\n", r.Method, r.Multiple, r.NFE.Mean, r.Calls.Mean, r.Reward, r.Checker, r.Strict, over, p)
		}
	})
}

// searchTable is the table of a comparison for documents.
func searchTable(reports []minibench.SearchReport) (head []string, rows [][]string) {
	head = []string{"method", "budget", "spent", "verified", "reward", "over random", "p", "checker", "strict"}
	for _, r := range reports {
		over, p := "", ""
		if r.P > 0 {
			over, p = r.OverRandom.Signed(), fmt.Sprintf("%.3f", r.P)
		}
		rows = append(rows, []string{
			r.Method, fmt.Sprintf("%d×", r.Multiple), fmt.Sprintf("%.0f", r.NFE.Mean), fmt.Sprintf("%.1f", r.Calls.Mean),
			r.Reward.String(), over, p, r.Checker.String(), r.Strict.String(),
		})
	}
	return head, rows
}
