package report

import (
	"fmt"
	"html/template"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Chart is a figure of a page; the types that end in Chart, and Histogram, are.
type Chart interface {
	// svg returns the figure as HTML: caption, legend, the drawing for wide and for narrow screens, and the numbers.
	svg() (template.HTML, error)
}

// figure is a chart as page.html shows it. Everything that may be long stands outside the drawing, where the
// browser breaks lines.
type figure struct {
	Title, Note string
	X, Y        string // names of the axes
	Kind        string // "interval chart", …: begins the description
	Full        bool   // needs the whole width
	Legend      []legendItem
	Screens     []drawing  // for wide to narrow screens; the style shows one of them
	Table       *tableView // the numbers; nil: too many
	Empty       bool
}

type legendItem struct {
	Key  drawing
	Name string
}

// Desc tells the chart in words, for readers who cannot see it.
func (f figure) Desc() string {
	var b strings.Builder
	b.WriteString(f.Kind)
	switch x, y := clean(f.X), clean(f.Y); {
	case x != "" && y != "":
		b.WriteString(" of " + y + " against " + x)
	case x+y != "":
		b.WriteString(" of " + x + y)
	}
	b.WriteString(".")
	if f.Table == nil {
		return b.String()
	}
	for i, row := range f.Table.Rows {
		if i == 30 {
			fmt.Fprintf(&b, " And %d more.", len(f.Table.Rows)-i)
			break
		}
		var cells []string
		for _, cell := range row {
			if !blank.MatchString(cell.Text) {
				cells = append(cells, clean(cell.Text))
			}
		}
		b.WriteString(" " + strings.Join(cells, " ") + ";")
	}
	return strings.TrimSuffix(b.String(), ";")
}

// Name is the name of the drawing.
func (f figure) Name() string { return orElse(clean(f.Title), f.Kind) }

func (f figure) html() (template.HTML, error) {
	var b strings.Builder
	err := pageTemplate.ExecuteTemplate(&b, "figure", f)
	return template.HTML(b.String()), err
}

// Widths of drawings in CSS pixels. A drawing is scaled to its place, so each
// width is near that of the places it is shown in, for text of a readable size.
const (
	fullWide, fullMiddle, fullNarrow = 1000, 640, 360
	halfWide, halfNarrow             = 520, 340
)

// drawn adds a drawing for each width.
func (f *figure) drawn(draw func(width int) (drawing, error), widths ...int) error {
	for i, w := range widths {
		d, err := draw(w)
		if err != nil {
			return err
		}
		d.Class = [...]string{"wide", "middle", "narrow"}[i]
		if i == len(widths)-1 {
			d.Class = "narrow"
		}
		f.Screens = append(f.Screens, d)
	}
	return nil
}

// height returns the height of charts that stand two in a row.
func height(width int, square bool) int {
	switch {
	case width == halfNarrow && square:
		return 320
	case width == halfNarrow:
		return 250
	case square:
		return 410
	}
	return 330
}

// dashes tell lines apart without colour. When the colours are used up, dashes and glyphs shift by one, so that
// no two of 32 lines look the same.
func dashes(n int) []vg.Length {
	return [][]vg.Length{nil, {7, 3}, {2, 2.5}, {9, 3, 2, 3}}[(n+n/seriesColours)%4]
}

// legend draws the keys of n series.
func legend(names []string, key func(c draw.Canvas, n int)) ([]legendItem, error) {
	var items []legendItem
	for i, name := range names {
		d, err := render(28, 14, func(c draw.Canvas) { key(c, i) })
		if err != nil {
			return nil, err
		}
		items = append(items, legendItem{d, clean(name)})
	}
	return items, nil
}

// whisker draws an interval from (x0, y0) to (x1, y1) with end marks.
func whisker(c draw.Canvas, sty draw.LineStyle, x0, y0, x1, y1, end vg.Length) {
	c.StrokeLine2(sty, x0, y0, x1, y1)
	if x0 == x1 {
		c.StrokeLine2(sty, x0-end, y0, x0+end, y0)
		c.StrokeLine2(sty, x0-end, y1, x0+end, y1)
		return
	}
	c.StrokeLine2(sty, x0, y0-end, x0, y0+end)
	c.StrokeLine2(sty, x1, y1-end, x1, y1+end)
}
