package cli

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/disintegration/imaging"

	"winnow/internal/evaluation"
	"winnow/internal/imageproc"
	"winnow/internal/report"
)

// report writes the page of --html.
func (r *winRateRun) report(ctx context.Context, results []evaluation.WinRate) error {
	looksA, err := r.looks(ctx, r.a)
	if err != nil {
		return err
	}
	looksB, err := r.looks(ctx, r.b)
	if err != nil {
		return err
	}
	p := &report.Page{
		Title: "winnow eval win-rate", Subtitle: fmt.Sprintf("A: %s, B: %s", r.o.a, r.o.b), Facts: evalFacts(r.promptFile, len(r.prompts), r.start),
		Footer: "Win rate: share of the comparisons that A wins, ties counting half, mean over prompts; 95 % bootstrap over prompts, 2,000 resamples.",
	}
	p.Facts[0].Name, p.Facts[1].Name = "prompts", "number"
	if p.Flags, err = r.app.flags(evaluation.WinRateFlags(results, looksA, looksB)); err != nil {
		return err
	}
	p.Sections = append(p.Sections, winRateSection(results))
	if s, ok := winRateCategories(results); ok {
		p.Sections = append(p.Sections, s)
	}
	p.Sections = append(p.Sections, r.histograms())
	if len(r.names) > 1 {
		p.Sections = append(p.Sections, r.winAgreement())
	}
	for k, name := range r.names {
		s, err := r.winExamples(k, name)
		if err != nil {
			return err
		}
		p.Sections = append(p.Sections, s)
	}
	if e := r.explained; e != nil {
		p.Sections = append(p.Sections, report.Section{Title: "What the judge said", Note: e.note(), Accounts: e.accounts})
	}
	return writePage(r.html, p)
}

// looks decodes the pictures of a side; those that cannot be read were reported before.
func (r *winRateRun) looks(ctx context.Context, s side) ([][]evaluation.Look, error) {
	task := r.app.progress().Start("looking at "+s.name, len(s.files))
	defer task.Stop()
	out := make([][]evaluation.Look, len(s.files))
	for i, files := range s.files {
		for _, file := range files {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if img, err := decodeFile(file); err == nil {
				out[i] = append(out[i], evaluation.NewLook(img))
			}
		}
		task.Set(i + 1)
	}
	return out, nil
}

// decodeFile decodes a picture as people see it.
func decodeFile(file string) (image.Image, error) {
	data, err := readImageFile(file)
	if err != nil {
		return nil, err
	}
	return imageproc.DecodeUpright(file, data, imageproc.Limits{})
}

func winRateSection(results []evaluation.WinRate) report.Section {
	chart := report.IntervalChart{Title: "win rate of A", Chance: 0.5}
	t := &report.Table{Head: []string{"scorer", "win rate", "95 % interval", "p", "won/tied/lost", "mean A", "mean B", "median A", "median B", "A − B"}}
	for _, w := range results {
		chart.Items = append(chart.Items, report.IntervalItem{Label: w.Scorer, Value: float64(w.Rate.Value), Low: float64(w.Rate.Low), High: float64(w.Rate.High)})
		t.Rows = append(t.Rows, []string{
			w.Scorer, number(w.Rate.Value), interval(w.Rate.Low, w.Rate.High), number(w.P), fmt.Sprintf("%d/%d/%d", w.Wins, w.Ties, w.Losses),
			number(w.MeanA), number(w.MeanB), number(w.MedianA), number(w.MedianB), fmt.Sprintf("%+.4f", float64(w.Difference.Value)),
		})
	}
	return report.Section{Title: "Win rate", Charts: []report.Chart{chart}, Table: t, Note: "p is of an exact sign test over prompts, ties left out."}
}

func winRateCategories(results []evaluation.WinRate) (report.Section, bool) {
	chart := report.BarChart{Title: "win rate of A by category"}
	for _, w := range results {
		s := report.Series{Name: w.Scorer}
		for i, c := range w.Categories {
			if len(chart.Groups) <= i {
				chart.Groups = append(chart.Groups, c.Metric)
			}
			s.Values, s.Low, s.High = append(s.Values, float64(c.Value)), append(s.Low, float64(c.Low)), append(s.High, float64(c.High))
		}
		chart.Series = append(chart.Series, s)
	}
	return report.Section{Title: "Categories", Charts: []report.Chart{chart}}, len(chart.Groups) > 0
}

// histograms are the scores of both models by each scorer.
func (r *winRateRun) histograms() report.Section {
	s := report.Section{Title: "Scores"}
	for k, name := range r.names {
		h := report.Histogram{Title: name, Series: []report.Series{{Name: "A"}, {Name: "B"}}}
		for _, c := range r.tables[k] {
			h.Series[0].Values, h.Series[1].Values = append(h.Series[0].Values, c.A...), append(h.Series[1].Values, c.B...)
		}
		s.Charts = append(s.Charts, h)
	}
	return s
}

// winAgreement is how often two scorers see the same winner of a prompt; one tie counts half.
func (r *winRateRun) winAgreement() report.Section {
	m := &report.Matrix{Names: r.names, Format: "%.3f", Low: 0, High: 1}
	for i := range r.names {
		row := make([]float64, len(r.names))
		for j := range r.names {
			sum, n := 0.0, 0.0
			for k := range r.prompts {
				a, b := winner(&r.tables[i][k]), winner(&r.tables[j][k])
				if !math.IsNaN(a) && !math.IsNaN(b) {
					sum += 1 - math.Abs(a-b)/2
					n++
				}
			}
			row[j] = sum / n
		}
		m.Values = append(m.Values, row)
	}
	return report.Section{Title: "Agreement", Matrix: m, Note: "How often two scorers see the same winner of a prompt; one tie counts half."}
}

// winner is 1 for A, -1 for B, 0 for a tie.
func winner(c *evaluation.Contest) float64 {
	switch w := c.Wins(); {
	case w > 0.5:
		return 1
	case w < 0.5:
		return -1
	default:
		return w - 0.5 // 0 or NaN
	}
}

// winExamples shows the prompts on which the scores of A and B differ most, both ways.
func (r *winRateRun) winExamples(k int, name string) (report.Section, error) {
	type gap struct {
		prompt int
		by     float64
	}
	var gaps []gap
	for i := range r.prompts {
		c := &r.tables[k][i]
		if len(c.A) == 0 || len(c.B) == 0 || math.IsNaN(c.A[0]) || math.IsNaN(c.B[0]) || c.A[0] == c.B[0] {
			continue
		}
		gaps = append(gaps, gap{i, c.A[0] - c.B[0]})
	}
	slices.SortStableFunc(gaps, func(a, b gap) int { return cmp.Compare(b.by, a.by) })
	s := report.Section{Title: name + ": largest differences", Note: "First where A's first picture scores higher than B's, then where B's does. The mark is the scorer's choice."}
	best := gaps[:min(examplesOfKind, len(gaps))]
	worst := slices.Clone(gaps[max(len(best), len(gaps)-examplesOfKind):])
	slices.Reverse(worst)
	for _, g := range append(slices.Clone(best), worst...) {
		e := report.Example{Caption: r.prompts[g.prompt].Text}
		for n, file := range []string{r.a.files[g.prompt][0], r.b.files[g.prompt][0]} {
			img, err := decodeFile(file)
			if err != nil {
				return s, err
			}
			e.Pictures = append(e.Pictures, r.examplePicture(g.prompt, n, (g.by > 0) == (n == 0), img))
		}
		s.Examples = append(s.Examples, e)
	}
	return s, nil
}

func (r *winRateRun) examplePicture(prompt, n int, good bool, img image.Image) report.Picture {
	p := report.Picture{Label: string(rune('A' + n)), Good: good, Image: imaging.Fit(img, thumbSide, thumbSide, imaging.Box)}
	for k, name := range r.names {
		values := r.tables[k][prompt].A
		if n == 1 {
			values = r.tables[k][prompt].B
		}
		if len(values) > 0 {
			p.Lines = append(p.Lines, name+" "+report.FormatScore(values[0]))
		}
	}
	return p
}
