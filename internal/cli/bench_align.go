package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"winnow/diffusion"
	"winnow/internal/minibench"
	"winnow/rewards"
)

// benchAlignOptions is the command line of bench align.
type benchAlignOptions struct {
	benchOptions
	adapters []string
	alpha    float64
	over     string
	markdown bool
}

func (a *app) benchAlignCommand() *cobra.Command {
	o := &benchAlignOptions{}
	c := &cobra.Command{
		Use:   "align",
		Short: "Compare adapters with the base model on the mini world",
		Long: `Align draws one picture for each prompt of a set with the base model and with adapters,
from the same noise, and compares them by the exact checker and by the embedded reward:
means with 95 % bootstrap intervals, paired differences to the base with their p-values,
and the share of prompts on which the adapter's picture scores higher.

--adapter NAME=FILE,FILE names the adapters of one recipe, trained with several seeds,
whose figures are averaged prompt by prompt; each draws from a noise of its own. A folder stands for the adapter in it; one
with chosen/ and rejected/ in it, as "winnow train chats" leaves, is drawn with the rule
of CHATS at a scale one less, which is as strong as classifier-free guidance.`,
		Example: `  winnow bench align --adapter dpo=aligned
  winnow bench align --guidance-scale 1,3 --adapter dpo=dpo-1,dpo-2,dpo-3 --adapter chats=chats-1,chats-2,chats-3
  winnow bench align --over cfg --adapter cfg=chats-1/chosen --adapter chats=chats-1`,
		Args: a.noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.benchAlign(c.Context(), o) },
	}
	f := c.Flags()
	o.benchOptions.flags(f, []float64{1, 3}, 11)
	f.StringArrayVar(&o.adapters, "adapter", nil, "NAME=FILE,…: adapters to compare with the base; may be repeated")
	f.StringVar(&o.over, "over", "", "NAME of the adapter that the others are compared with (default: the base)")
	f.BoolVar(&o.markdown, "markdown", false, "print the tables as Markdown")
	f.Float64Var(&o.alpha, "chats-alpha", 0.5, "how far the proxy prompt of chats lies beyond the null prompt")
	return c
}

func (a *app) benchAlign(ctx context.Context, o *benchAlignOptions) error {
	reports, err := a.compare(ctx, o)
	if err != nil {
		return err
	}
	return a.showAlign(reports, o)
}

func (a *app) compare(ctx context.Context, o *benchAlignOptions) (_ []minibench.AlignReport, err error) {
	prompts, err := o.read()
	if err != nil {
		return nil, err
	}
	models := []minibench.Aligned{}
	for _, v := range o.adapters {
		m, err := o.aligned(a, v)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	reward, err := rewards.Open(ctx, rewards.Mini, "", &rewards.Options{Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reward.Close()) }()
	task := a.progress().Start("drawing", len(prompts)*len(o.guidance))
	defer task.Stop()
	return minibench.Align(ctx, o.side(a, "base", [][]diffusion.LoRA{nil}, false), models, prompts, minibench.AlignOptions{
		Steps: o.steps, Guidance: o.guidance, Seed: o.seed, Over: o.over, OnPart: func(_ string, done, total int) { task.Set(done * len(prompts) * len(o.guidance) / total) },
		Reward: scoreEach(reward),
	})
}

// aligned reads NAME=FILE,FILE.
func (o *benchAlignOptions) aligned(a *app, v string) (minibench.Aligned, error) {
	name, files, ok := strings.Cut(v, "=")
	if !ok {
		return minibench.Aligned{}, usagef("--adapter %s: want NAME=FILE,…", v)
	}
	var sides [][]diffusion.LoRA
	chats := false
	for file := range strings.SplitSeq(files, ",") {
		one, two := filepath.Join(file, "chosen"), filepath.Join(file, "rejected")
		if _, err := os.Stat(one); err == nil {
			chats = true
			sides = append(sides, []diffusion.LoRA{{File: one, Side: diffusion.PositiveSide}, {File: two, Side: diffusion.NegativeSide}})
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return minibench.Aligned{}, usagef("--adapter %s: %v", v, err)
		}
		sides = append(sides, []diffusion.LoRA{{File: file}})
	}
	return o.side(a, name, sides, chats), nil
}

// side is a model to be compared.
func (o *benchAlignOptions) side(a *app, name string, seeds [][]diffusion.LoRA, chats bool) minibench.Aligned {
	m := minibench.Aligned{Name: name, Request: func(w float64) diffusion.Request {
		req := diffusion.Request{GuidanceScale: w, Scheduler: o.scheduler}
		if chats && w > 1 {
			req.Guidance, req.GuidanceScale, req.CHATSAlpha = diffusion.CHATS, w-1, &o.alpha
		}
		return req
	}}
	for _, files := range seeds {
		m.Open = append(m.Open, func(ctx context.Context) (*diffusion.Pipeline, error) {
			return diffusion.Open(ctx, o.model, &diffusion.Options{
				Threads: o.threads, Executor: o.executor, ORTLibrary: o.ortLibrary, Logger: a.logger(), LoRA: files,
			})
		})
	}
	return m
}

func (a *app) showAlign(reports []minibench.AlignReport, o *benchAlignOptions) error {
	if a.json {
		for _, r := range reports {
			if err := a.line(struct {
				Type string `json:"type"`
				minibench.AlignReport
			}{"align_figures", r}); err != nil {
				return err
			}
		}
		return nil
	}
	over := o.over
	if over == "" {
		over = "base"
	}
	head, rows := alignTable(reports, over)
	if !o.markdown {
		return a.table(func(w io.Writer) {
			for _, cells := range append([][]string{head}, rows...) {
				fmt.Fprintln(w, strings.Join(cells, "\t"))
			}
		})
	}
	if err := a.markdownTable(head, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.markdownTable(kindTable(reports, over))
}

// alignTable has the figures and differences of each model.
func alignTable(reports []minibench.AlignReport, over string) (head []string, rows [][]string) {
	head = []string{"model", "guidance"}
	figures := []string{"strict", "frac", "score", "reward"}
	for _, name := range figures {
		head = append(head, name, "over "+over, "p")
	}
	head = append(head, "wins by score", "wins by reward")
	for _, r := range reports {
		cells := []string{r.Name, fmt.Sprint(r.GuidanceScale)}
		for _, name := range figures {
			cells = append(cells, fmt.Sprint(r.Figures[name]))
			if d, ok := r.Over[name]; ok {
				cells = append(cells, d.Signed(), fmt.Sprintf("%.4f", d.P))
			} else {
				cells = append(cells, "", "")
			}
		}
		for _, name := range []string{"score", "reward"} {
			if w, ok := r.Wins[name]; ok {
				cells = append(cells, fmt.Sprint(w))
			} else {
				cells = append(cells, "")
			}
		}
		rows = append(rows, cells)
	}
	return head, rows
}

// kindTable has the strict figure of each sort of prompt and its difference.
func kindTable(reports []minibench.AlignReport, over string) (head []string, rows [][]string) {
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(reports[0].Figures)) {
		if strings.HasPrefix(name, "strict.") {
			kinds = append(kinds, name)
		}
	}
	head = []string{"model", "guidance"}
	for _, kind := range kinds {
		head = append(head, strings.TrimPrefix(kind, "strict."), "over "+over)
	}
	for _, r := range reports {
		cells := []string{r.Name, fmt.Sprint(r.GuidanceScale)}
		for _, kind := range kinds {
			cells = append(cells, fmt.Sprintf("%.3f", r.Figures[kind].Mean), "")
			if d, ok := r.Over[kind]; ok {
				cells[len(cells)-1] = d.Signed()
			}
		}
		rows = append(rows, cells)
	}
	return head, rows
}
