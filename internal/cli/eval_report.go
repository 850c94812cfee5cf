package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/disintegration/imaging"

	"winnow/datasets"
	"winnow/diffusion"
	"winnow/internal/evaluation"
	"winnow/internal/imageproc"
	"winnow/internal/report"
)

// examplesOfKind is the number of pairs that a report shows of each scorer and kind.
const examplesOfKind = 4

// writePage writes a report page whole or not at all.
func writePage(path string, p *report.Page) error {
	var b bytes.Buffer
	if err := p.WriteHTML(&b); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// report writes the page of --html.
func (r *evalRun) report(ctx context.Context, lines []evalLine) error {
	set := r.main.set
	looks, examples, err := r.pictures(ctx)
	if err != nil {
		return err
	}
	p := &report.Page{
		Title: "winnow eval " + string(set.Format), Subtitle: filepath.Base(r.o.input.file),
		Facts:  evalFacts(r.o.input.file, set.Len(), r.start),
		Footer: "Intervals: 95 % bootstrap over prompts, 2,000 resamples. Baselines are published figures; see the notes on definitions.",
	}
	if p.Flags, err = r.app.flags(set.Flags(looks)); err != nil {
		return err
	}
	if looks == nil {
		p.Flags = append(p.Flags, report.Flag{Level: "info", Title: "The pictures are not at hand", Detail: "Examples, and checks for scorers that like a look, need them."})
	}
	p.Sections = append(p.Sections, figureSections(lines)...)
	if s, ok := categorySection(lines); ok {
		p.Sections = append(p.Sections, s)
	}
	if len(lines) > 1 {
		p.Sections = append(p.Sections, comparisonSection(set), agreementSection(set))
	}
	if s, ok := calibrationSection(lines); ok {
		p.Sections = append(p.Sections, s)
	}
	p.Sections = append(p.Sections, examples...)
	if e := r.explained; e != nil {
		p.Sections = append(p.Sections, report.Section{Title: "What the judge said", Note: e.note(), Accounts: e.accounts})
	}
	return writePage(r.o.html, p)
}

// flagLine is a reason to distrust a figure, as --json prints it.
type flagLine struct {
	Type string `json:"type"` // "flag"
	evaluation.Flag
}

// flags are shown in the report, and named outside of it too.
func (a *app) flags(flags []evaluation.Flag) (out []report.Flag, err error) {
	for _, f := range flags {
		out = append(out, report.Flag{Level: "warn", Title: f.Title, Detail: f.Detail})
		a.warn("%s: %s", f.Title, f.Detail)
		if a.json {
			err = errors.Join(err, a.line(flagLine{"flag", f}))
		}
	}
	return out, err
}

func evalFacts(data string, rows int, start time.Time) []report.Fact {
	return []report.Fact{
		{Name: "data", Value: data},
		{Name: "rows", Value: fmt.Sprint(rows)},
		{Name: "winnow", Value: diffusion.Version()},
		{Name: "made", Value: start.Format(time.DateTime)},
		{Name: "seconds", Value: fmt.Sprintf("%.1f", time.Since(start).Seconds())},
	}
}

// figureSections has a chart for each share among the metrics, with all scorers and the published figures, and a table of all.
func figureSections(lines []evalLine) []report.Section {
	figures := report.Section{Title: "Figures", Table: &report.Table{Head: []string{"metric", "scorer", "value", "95 % interval", "of", "note"}}}
	var order []string
	items := map[string][]report.IntervalItem{}
	for _, l := range lines {
		for _, f := range overall(l) {
			figures.Table.Rows = append(figures.Table.Rows, []string{
				f.Metric, l.Scorer, number(f.Value), interval(f.Low, f.High), fmt.Sprintf("%d %s", f.Of, f.Unit), f.Note,
			})
			if _, ok := items[f.Metric]; !ok {
				order = append(order, f.Metric)
			}
			items[f.Metric] = append(items[f.Metric], report.IntervalItem{Label: l.Scorer, Value: float64(f.Value), Low: float64(f.Low), High: float64(f.High)})
		}
	}
	figures.Table.Rows = byMetric(figures.Table.Rows, order)
	charts := report.Section{Title: "Accuracy", Note: "Each dot is a scorer with its 95 % interval; diamonds are published figures under the same definition. The line marks chance."}
	for _, metric := range order {
		if !accuracies[metric] {
			continue
		}
		chart := report.IntervalChart{Title: metric, Items: items[metric], Chance: 0.5}
		for _, b := range lines[0].Baselines {
			if b.Metric == metric {
				chart.Marks = append(chart.Marks, report.Mark{Label: b.Scorer, Value: float64(b.Value)})
			}
		}
		charts.Charts = append(charts.Charts, chart)
	}
	out := []report.Section{charts, figures}
	if len(charts.Charts) == 0 {
		out = out[1:]
	}
	if s, ok := baselineSection(lines[0].Baselines); ok {
		out = append(out, s)
	}
	return out
}

// accuracies are the metrics that a chart with chance at ½ suits.
var accuracies = map[string]bool{
	"imagereward.pair_micro": true, "hpsv2.imagereward_macro": true, "hpdv2.inversion": true, "hpdv2.pair_micro_no_ties": true,
	"hpdv2.raw_votes": true, "pickapic.no_ties": true, "pickapic.tie_threshold": true, "judge.consistent": true, "judge.mean": true, "judge.soft": true,
}

// overall are the figures of the whole set.
func overall(l evalLine) []evaluation.Figure {
	for _, p := range l.Parts {
		if p.Category == "" {
			return p.Figures
		}
	}
	return nil
}

// byMetric brings the rows of one metric together.
func byMetric(rows [][]string, order []string) [][]string {
	var out [][]string
	for _, metric := range order {
		for _, row := range rows {
			if row[0] == metric {
				out = append(out, row)
			}
		}
	}
	return out
}

func number(v evaluation.Number) string {
	if math.IsNaN(float64(v)) {
		return "–"
	}
	return fmt.Sprintf("%.4f", float64(v))
}

func baselineSection(baselines []evaluation.Baseline) (report.Section, bool) {
	if len(baselines) == 0 {
		return report.Section{}, false
	}
	s := report.Section{
		Title: "Published figures", Table: &report.Table{Head: []string{"scorer", "value", "metric", "source"}},
		Note: "Where no metric is named, the source does not say which definition it used; such figures are not comparable to the last digit.",
	}
	for _, b := range baselines {
		s.Table.Rows = append(s.Table.Rows, []string{b.Scorer, fmt.Sprintf("%.3f", float64(b.Value)), b.Metric, b.Source})
	}
	return s, true
}

// categorySection shows the first accuracy of every category.
func categorySection(lines []evalLine) (report.Section, bool) {
	metric := ""
	for _, f := range overall(lines[0]) {
		if accuracies[f.Metric] {
			metric = f.Metric
			break
		}
	}
	chart := report.BarChart{Title: metric + " by category"}
	at := map[string]int{}
	for _, l := range lines {
		for _, p := range l.Parts {
			if _, ok := at[p.Category]; !ok && p.Category != "" {
				at[p.Category] = len(chart.Groups)
				chart.Groups = append(chart.Groups, p.Category)
			}
		}
	}
	if len(chart.Groups) == 0 || metric == "" {
		return report.Section{}, false
	}
	for _, l := range lines {
		s := report.Series{Name: l.Scorer, Values: nans(len(at)), Low: nans(len(at)), High: nans(len(at))}
		for _, p := range l.Parts {
			for _, f := range p.Figures {
				if k, ok := at[p.Category]; ok && f.Metric == metric {
					s.Values[k], s.Low[k], s.High[k] = float64(f.Value), float64(f.Low), float64(f.High)
				}
			}
		}
		chart.Series = append(chart.Series, s)
	}
	return report.Section{Title: "Categories", Charts: []report.Chart{chart}}, true
}

func nans(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

func comparisonSection(set *evaluation.Set) report.Section {
	s := report.Section{
		Title: "Differences", Table: &report.Table{Head: []string{"a", "b", "accuracy a", "accuracy b", "difference", "95 % interval", "p", "McNemar p", "pairs"}},
		Note: "On the decided pairs that both scorers have scored. p is of a paired bootstrap over prompts; McNemar's takes the pairs of a prompt for independent and is too small where prompts have many.",
	}
	for _, c := range set.Comparisons() {
		s.Table.Rows = append(s.Table.Rows, []string{
			c.A, c.B, number(c.AccuracyA), number(c.AccuracyB), fmt.Sprintf("%+.4f", float64(c.Difference)), interval(c.Low, c.High), number(c.P), number(c.McNemar), fmt.Sprint(c.Pairs),
		})
	}
	return s
}

func agreementSection(set *evaluation.Set) report.Section {
	a := set.Agreement()
	m := &report.Matrix{Names: a.Names, Format: "%.3f", Low: 0.5, High: 1}
	for _, row := range a.Share {
		var values []float64
		for _, v := range row {
			values = append(values, float64(v))
		}
		m.Values = append(m.Values, values)
	}
	return report.Section{Title: "Agreement", Matrix: m, Note: "How often two choose the same picture of a pair; one tie counts half."}
}

func calibrationSection(lines []evalLine) (report.Section, bool) {
	s := report.Section{
		Title: "Calibration", Table: &report.Table{Head: []string{"scorer", "τ", "ECE", "Brier", "log loss", "pairs"}},
		Note: "P(first preferred) = σ(difference of scores / τ). τ is fitted on one half of the prompts and judged on the other.",
	}
	chart := report.LineChart{Title: "reliability", X: "confidence", Y: "share right", Diagonal: true}
	for _, l := range lines {
		c := l.Calibration
		if c == nil {
			continue
		}
		line := report.Line{Name: l.Scorer, Points: true}
		for _, b := range c.Curve {
			line.X, line.Y = append(line.X, float64(b.Confidence)), append(line.Y, float64(b.Right))
		}
		chart.Lines = append(chart.Lines, line)
		s.Table.Rows = append(s.Table.Rows, []string{l.Scorer, fmt.Sprintf("%.4g", float64(c.Temperature)), number(c.ECE), number(c.Brier), number(c.LogLoss), fmt.Sprint(c.Pairs)})
	}
	s.Charts = []report.Chart{chart}
	return s, len(s.Table.Rows) > 0
}

// pictures reads the set once more: for what its pictures look like, and for those that the report shows. looks is nil when no
// picture is at hand.
func (r *evalRun) pictures(ctx context.Context) (looks map[int][]evaluation.Look, sections []report.Section, err error) {
	reader, err := r.main.in.open(false)
	if err != nil {
		return nil, nil, err
	}
	defer reader.Close()
	wanted := r.wanted()
	shown := map[int][]image.Image{}
	task := r.app.progress().Start("looking at pictures", r.main.set.Len())
	defer task.Stop()
	next := 0
	for rec, err := range reader.All() {
		var row *datasets.RowError
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.As(err, &row) || err == nil && len(rec.Images) < 2:
			continue
		case err != nil:
			return nil, nil, err
		}
		at := next
		next++
		task.Set(next)
		var all []evaluation.Look
		var thumbs []image.Image
		for i := range rec.Images {
			img, ok := lookAt(&rec.Images[i])
			if !ok {
				all = nil
				break
			}
			all = append(all, evaluation.NewLook(img))
			if wanted[at] {
				thumbs = append(thumbs, imaging.Fit(img, thumbSide, thumbSide, imaging.Box))
			}
		}
		if all == nil {
			continue
		}
		if looks == nil {
			looks = map[int][]evaluation.Look{}
		}
		looks[at], shown[at] = all, thumbs
	}
	return looks, r.exampleSections(shown), nil
}

// lookAt decodes a picture; those that cannot be read were reported before.
func lookAt(im *datasets.Image) (image.Image, bool) {
	if !im.Present() {
		return nil, false
	}
	data, err := im.Bytes()
	if err != nil {
		return nil, false
	}
	img, err := imageproc.DecodeUpright(im.Name(), data, imageproc.Limits{})
	return img, err == nil
}

// wanted are the records that the report shows.
func (r *evalRun) wanted() map[int]bool {
	out := map[int]bool{}
	for _, c := range r.main.set.Scorers() {
		right, wrong := c.Examples(examplesOfKind)
		for _, e := range append(right, wrong...) {
			out[e.Record] = true
		}
	}
	return out
}

func (r *evalRun) exampleSections(shown map[int][]image.Image) []report.Section {
	var out []report.Section
	for _, c := range r.main.set.Scorers() {
		right, wrong := c.Examples(examplesOfKind)
		for kind, examples := range [][]evaluation.Example{wrong, right} {
			s := report.Section{
				Title: c.Name + [...]string{": surest mistakes", ": surest and right"}[kind],
				Note:  "The picture with the mark is the one that people prefer.",
			}
			for _, e := range examples {
				if pictures := shown[e.Record]; len(pictures) > max(e.First, e.Second) {
					s.Examples = append(s.Examples, r.example(e, pictures))
				}
			}
			if len(s.Examples) > 0 {
				out = append(out, s)
			}
		}
	}
	return out
}

// example is a pair with what every scorer says of it.
func (r *evalRun) example(e evaluation.Example, pictures []image.Image) report.Example {
	side := func(i int, good bool) report.Picture {
		p := report.Picture{Image: pictures[i], Good: good}
		if good {
			p.Label = "people prefer it"
		}
		for _, c := range r.main.set.Scorers() {
			if v := c.Values(e.Record); v != nil {
				p.Lines = append(p.Lines, strings.TrimSpace(c.Name+" "+report.FormatScore(v[i])))
			}
		}
		return p
	}
	return report.Example{Caption: r.main.set.Prompt(e.Record), Pictures: []report.Picture{side(e.First, e.Human == 1), side(e.Second, e.Human == 0)}}
}
