package report

import (
	"fmt"
	"html/template"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// ScatterChart draws points.
type ScatterChart struct {
	Title, X, Y string
	Points      []Point
}

// Point is one point; points of one Group share a colour and a shape. Labels are
// written where they do not cover others.
type Point struct {
	X, Y  float64
	Label string
	Group string
}

const (
	// scatterPoints bounds the size of the page: of more points, every k-th is drawn.
	scatterPoints = 3000
	// scatterLabels is the number of labels up to which they are written.
	scatterLabels = 60
)

func (ch ScatterChart) svg() (template.HTML, error) {
	f := figure{Title: ch.Title, X: ch.X, Y: ch.Y, Kind: "Scatter chart"}
	var points []Point
	var groups []string
	number := map[string]int{}
	x, y := noSpan, noSpan
	for _, pt := range ch.Points {
		if !finite(pt.X, pt.Y) {
			continue
		}
		x.add(pt.X)
		y.add(pt.Y)
		points = append(points, pt)
		if _, ok := number[pt.Group]; !ok {
			number[pt.Group] = len(groups)
			groups = append(groups, pt.Group)
		}
	}
	if f.Empty = len(points) == 0; f.Empty {
		return f.html()
	}
	f.Table = ch.table(points, x.decimals()+1, y.decimals()+1)
	all := len(points)
	if k := (all + scatterPoints - 1) / scatterPoints; k > 1 {
		points = everyKth(points, k)
	}
	f.Note = scatterNote(len(points), all, len(ch.Points))
	x, y = x.padded(0.05), y.padded(0.06)
	if err := f.drawn(func(w int) (drawing, error) { return drawPoints(w, x, y, points, number) }, halfWide, halfNarrow); err != nil {
		return "", err
	}
	if len(groups) > 1 || groups[0] != "" {
		var err error
		if f.Legend, err = legend(groups, func(c draw.Canvas, n int) { c.DrawGlyphNoClip(glyph(n), vg.Point{X: 14, Y: 7}) }); err != nil {
			return "", err
		}
	}
	return f.html()
}

func everyKth(points []Point, k int) []Point {
	var some []Point
	for i := 0; i < len(points); i += k {
		some = append(some, points[i])
	}
	return some
}

func scatterNote(drawn, finite, all int) string {
	note := ""
	if drawn < finite {
		note = fmt.Sprintf("%d of %d points are drawn.", drawn, finite)
	}
	if finite < all {
		note += fmt.Sprintf(" Left out: %d of %d points (not finite).", all-finite, all)
	}
	return note
}

// table lists the points when they have names and are few.
func (ch ScatterChart) table(points []Point, xd, yd int) *tableView {
	if len(points) > scatterLabels || points[0].Label == "" {
		return nil
	}
	t := &Table{Head: []string{"", orElse(ch.X, "x"), orElse(ch.Y, "y")}}
	for _, pt := range points {
		t.Rows = append(t.Rows, []string{oneLine(pt.Label + " " + pt.Group), number(pt.X, xd), number(pt.Y, yd)})
	}
	return t.view()
}

func drawPoints(width int, x, y span, points []Point, number map[string]int) (drawing, error) {
	p := newPlot(x, y)
	setTicks(p, width)
	p.Add(gridLines(true, true), plotter(func(c draw.Canvas, p *plot.Plot) {
		tx, ty := p.Transforms(&c)
		var taken []vg.Rectangle
		for _, pt := range points {
			n := number[pt.Group]
			sty := glyph(n)
			if len(points) > 200 {
				sty.Radius, sty.Color = 2.4, faded.colour(n)
			}
			c.DrawGlyphNoClip(sty, vg.Point{X: tx(pt.X), Y: ty(pt.Y)})
			taken = append(taken, around(vg.Point{X: tx(pt.X), Y: ty(pt.Y)}, 4))
		}
		if len(points) > scatterLabels {
			return
		}
		for _, pt := range points {
			taken = label(c, vg.Point{X: tx(pt.X), Y: ty(pt.Y)}, pt.Label, taken)
		}
	}))
	return renderHalf(p, width, false)
}

func around(pt vg.Point, r vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: pt.X - r, Y: pt.Y - r}, Max: vg.Point{X: pt.X + r, Y: pt.Y + r}}
}

// label writes s right of, left of, above or below a point: at the first place that is free and inside, or nowhere.
func label(c draw.Canvas, pt vg.Point, s string, taken []vg.Rectangle) []vg.Rectangle {
	f := sans(smallSize, false)
	s = shorten(clean(s), f, (c.Max.X-c.Min.X)*0.45)
	if s == "" {
		return taken
	}
	w, h := textWidth(s, f), f.Size
	for _, lower := range []vg.Point{
		{X: pt.X + 7, Y: pt.Y - h*0.35},
		{X: pt.X - 7 - w, Y: pt.Y - h*0.35},
		{X: pt.X - w/2, Y: pt.Y + 7},
		{X: pt.X - w/2, Y: pt.Y - 7 - h*0.75},
	} {
		box := vg.Rectangle{Min: vg.Point{X: lower.X, Y: lower.Y - 2}, Max: vg.Point{X: lower.X + w, Y: lower.Y + h*0.8}}
		if box.Min.X < c.Min.X || box.Max.X > c.Max.X+6 || box.Min.Y < c.Min.Y || box.Max.Y > c.Max.Y+4 || touches(box, taken) {
			continue
		}
		put(c, vg.Point{X: lower.X + w/2, Y: lower.Y}, draw.XCenter, f, ink.colour(0), s)
		return append(taken, box)
	}
	return taken
}

func touches(box vg.Rectangle, taken []vg.Rectangle) bool {
	return slices.ContainsFunc(taken, func(o vg.Rectangle) bool {
		return box.Min.X < o.Max.X && o.Min.X < box.Max.X && box.Min.Y < o.Max.Y && o.Min.Y < box.Max.Y
	})
}
