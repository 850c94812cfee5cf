package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"winnow/diffusion"
	"winnow/internal/minibench"
	"winnow/internal/miniworld"
	"winnow/internal/report"
)

// methodsReport is methods.json.
type methodsReport struct {
	Methods []minibench.MethodReport `json:"methods"`
	Orders  []minibench.OrderReport  `json:"orders"`
}

// report writes the tables.
func (b *methodsBench) report(ctx context.Context, contenders []minibench.Contender) error {
	r := methodsReport{
		minibench.CompareMethods(contenders, b.protocol.Guidance), minibench.CompareOrders(contenders, b.protocol.Orders, b.protocol.Guidance, "score"),
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	page, err := b.page(ctx, contenders, r)
	if err != nil {
		return err
	}
	files := []string{b.at("methods.md"), b.at("methods.json"), b.at("methods.html")}
	for i, content := range [][]byte{b.markdown(r), append(data, '\n'), page} {
		if err := writeFile(files[i], content); err != nil {
			return err
		}
	}
	if b.a.json {
		return b.lines(r)
	}
	for _, name := range files {
		if _, err := fmt.Fprintln(b.a.stdout, name); err != nil {
			return err
		}
	}
	return nil
}

// lines are what --json prints.
func (b *methodsBench) lines(r methodsReport) error {
	for _, m := range r.Methods {
		if err := b.a.line(struct {
			Type string `json:"type"`
			minibench.MethodReport
		}{"method_figures", m}); err != nil {
			return err
		}
	}
	for _, o := range r.Orders {
		if err := b.a.line(struct {
			Type string `json:"type"`
			minibench.OrderReport
		}{"method_order", o}); err != nil {
			return err
		}
	}
	return nil
}

// markdown is all tables.
func (b *methodsBench) markdown(r methodsReport) []byte {
	var md bytes.Buffer
	var costs *report.Table // are the same at all scales
	for _, w := range b.protocol.Guidance {
		fmt.Fprintf(&md, "## Guidance %v\n\n", w)
		tables := b.tables(r.Methods, w)
		costs = tables[3]
		for _, t := range append(tables[:3], orderTable(r.Orders, w)) {
			fmt.Fprintln(&md, markdown(t.Head, t.Rows))
		}
	}
	fmt.Fprintf(&md, "## Cost\n\n%s\n", markdown(costs.Head, costs.Rows))
	return md.Bytes()
}

// orderTable holds the orders of papers against the one that was found, by the checker.
func orderTable(orders []minibench.OrderReport, w float64) *report.Table {
	t := &report.Table{Head: []string{"paper", "by", "worst to best there", "here", minibench.Found, minibench.Open, minibench.Contrary}}
	for _, o := range orders {
		if o.Guidance != w {
			continue
		}
		row := []string{o.Paper, o.By, strings.Join(o.Names, " < "), strings.Join(o.Here, " < ")}
		for _, verdict := range t.Head[4:] {
			row = append(row, strings.Join(o.With(verdict), ", "))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// tables are those of one guidance scale: what the pictures are worth, what sorts of prompts come out right, and what it cost.
func (b *methodsBench) tables(reports []minibench.MethodReport, w float64) []*report.Table {
	figures := &report.Table{Head: []string{"method", "checker", "over base", "over dpo", "wins over base", "wins over dpo"}}
	trained := &report.Table{Head: []string{"method", "trained reward", "over base", "over dpo"}}
	kinds := &report.Table{Head: []string{"method"}}
	cost := &report.Table{Head: []string{"method", "winnow train", "chosen of the trials", "updates", "U-Net evaluations", "processor seconds", "memory, MiB"}}
	for _, r := range reports {
		if r.Guidance != w {
			continue
		}
		figures.Rows = append(figures.Rows, []string{
			r.Name, fmt.Sprint(r.Figures["score"]), signed(r.OverBase, "score"), signed(r.OverDPO, "score"), won(r.WinsBase), won(r.WinsDPO),
		})
		trained.Rows = append(trained.Rows, []string{r.Name, fmt.Sprint(r.Figures["reward"]), signed(r.OverBase, "reward"), signed(r.OverDPO, "reward")})
		row := []string{r.Name}
		if len(kinds.Head) == 1 {
			kinds.Head = append(kinds.Head, append([]string{"strict, all"}, r.Kinds()...)...)
		}
		for _, name := range append([]string{"strict"}, prefixed("strict.", r.Kinds())...) {
			cell := fmt.Sprintf("%.3f", r.Figures[name].Mean)
			if d, ok := r.OverBase[name]; ok {
				cell += " (" + d.Signed() + ")"
			}
			row = append(row, cell)
		}
		kinds.Rows = append(kinds.Rows, row)
		if r.Name != minibench.BaseName {
			cost.Rows = append(cost.Rows, []string{
				r.Name, r.Method, r.Setting, fmt.Sprintf("%.0f", r.Updates), fmt.Sprintf("%.0f", r.Evaluations), fmt.Sprintf("%.0f", r.Seconds), fmt.Sprintf("%.0f", r.Memory/(1<<20)),
			})
		}
	}
	return []*report.Table{figures, trained, kinds, cost}
}

func signed(d map[string]minibench.Difference, name string) string {
	if v, ok := d[name]; ok {
		return v.Signed()
	}
	return ""
}

// won is the share of wins by the checker.
func won(w map[string]minibench.Figure) string {
	if v, ok := w["score"]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

func prefixed(prefix string, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, prefix+n)
	}
	return out
}

// methodsShown is the number of prompts whose pictures are on the page.
const methodsShown = 6

// page is the HTML page, with pictures of the first seed.
func (b *methodsBench) page(ctx context.Context, contenders []minibench.Contender, r methodsReport) ([]byte, error) {
	p := &report.Page{
		Title:    "Training methods at equal cost",
		Subtitle: fmt.Sprintf("%d evaluations of the U-Net each, %d trials, %d seeds, %d held-out prompts of the mini world", b.protocol.Evaluations, b.protocol.Trials, len(b.protocol.Seeds), b.protocol.HeldOut),
		Facts: []report.Fact{
			{Name: "command", Value: "winnow bench methods --protocol " + b.o.protocol},
			{Name: "labels", Value: "reward " + b.protocol.Reward + "; the exact checker decides about nothing"},
		},
		Footer: "winnow " + diffusion.Version(),
	}
	for _, w := range b.protocol.Guidance {
		tables := b.tables(r.Methods, w)
		p.Sections = append(
			p.Sections,
			report.Section{Title: fmt.Sprintf("Exact checker, guidance %v", w), Table: tables[0], Charts: gains(r.Methods, w, "score")},
			report.Section{Title: fmt.Sprintf("Trained reward, guidance %v", w), Table: tables[1], Charts: gains(r.Methods, w, "reward")},
			report.Section{Title: fmt.Sprintf("Sorts of prompts, guidance %v", w), Table: tables[2]},
			report.Section{
				Title: fmt.Sprintf("Orders that papers find, guidance %v", w),
				Note:  "By the checker: found, where the interval of the difference lies above zero; contrary, below; else open.", Table: orderTable(r.Orders, w),
			},
		)
		if w == b.protocol.Guidance[0] {
			p.Sections = append(p.Sections, report.Section{Title: "Cost", Table: tables[3]})
		}
	}
	examples, err := b.samples(ctx, contenders)
	if err != nil {
		return nil, err
	}
	p.Sections = append(p.Sections, report.Section{Title: "Pictures", Note: "Of the first seed, from the same noise.", Examples: examples})
	var out bytes.Buffer
	err = p.WriteHTML(&out)
	return out.Bytes(), err
}

// gains is a chart of differences to the base.
func gains(reports []minibench.MethodReport, w float64, figure string) []report.Chart {
	chart := report.IntervalChart{Title: "over the base", Unit: "mean difference", Level: "base"}
	for _, r := range reports {
		if d, ok := r.OverBase[figure]; ok && r.Guidance == w {
			chart.Items = append(chart.Items, report.IntervalItem{Label: r.Name, Value: d.Mean, Low: d.Low, High: d.High})
		}
	}
	return []report.Chart{chart}
}

// samples draws the first held-out prompts with every contender.
func (b *methodsBench) samples(ctx context.Context, contenders []minibench.Contender) ([]report.Example, error) {
	prompts, err := minibench.Prompts("heldout", methodsShown)
	if err != nil {
		return nil, err
	}
	examples := make([]report.Example, len(prompts))
	for i, q := range prompts {
		examples[i].Caption = q.Text
	}
	for _, c := range contenders {
		if err := b.sample(ctx, c, prompts, examples); err != nil {
			return nil, err
		}
	}
	return examples, nil
}

func (b *methodsBench) sample(ctx context.Context, c minibench.Contender, prompts []miniworld.Prompt, into []report.Example) (err error) {
	run := ""
	if c.Name != minibench.BaseName {
		run = filepath.Join(b.o.output, c.Name, fmt.Sprintf("seed-%d", b.protocol.Seeds[0]), "run")
	}
	model, p, err := b.side(ctx, c.Name, run, b.o.threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	req := model.Request(b.protocol.Guidance[0])
	return minibench.Draw(ctx, p, prompts, minibench.Options{Steps: b.protocol.Steps, Seed: noiseSeed, Request: &req}, func(i int, im diffusion.Image, r miniworld.Result) error {
		into[i].Pictures = append(into[i].Pictures, report.Picture{Label: c.Name, Image: im.NRGBA, Lines: []string{fmt.Sprintf("checker %.2f", r.Score)}, Good: r.Strict})
		return nil
	})
}
