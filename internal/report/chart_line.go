package report

import (
	"html/template"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// LineChart draws curves: a reliability diagram, a score against the number of model evaluations.
type LineChart struct {
	Title, X, Y string
	Lines       []Line
	Diagonal    bool // equal linear axes and the line y = x
	LogX        bool // logarithmic x; points with x <= 0 are left out. Not with Diagonal
	Note        string
	Levels      []Mark // dotted lines across, such as chance
}

// Line is one curve. Low and High bound it where given: as whiskers when Points is set, as a band
// otherwise and where points are many. A value that is not finite leaves a gap.
type Line struct {
	Name            string
	X, Y, Low, High []float64
	Points          bool // mark every point
}

// tablePoints is the number of points up to which a curve is also given in numbers.
const tablePoints = 200

func (ch LineChart) svg() (template.HTML, error) {
	f := figure{Title: ch.Title, X: ch.X, Y: ch.Y, Kind: "Line chart"}
	ch.LogX = ch.LogX && !ch.Diagonal
	x, y := ch.spans()
	if f.Empty = x.empty() || y.empty(); f.Empty {
		return f.html()
	}
	f.Table = ch.table(x.decimals()+1, y.decimals()+1)
	switch {
	case ch.Diagonal:
		x.add(y.low, y.high)
		x = x.padded(0.03)
		y = x
	case ch.LogX:
		room := math.Pow(x.high/x.low, 0.03)
		x, y = span{x.low / room, x.high * room}, y.padded(0.06)
		if x.high/x.low < 1.001 {
			x = span{x.low / 2, x.high * 2}
		}
	default:
		x, y = x.padded(0.03), y.padded(0.06)
	}
	f.Note = ch.note()
	if err := f.drawn(func(w int) (drawing, error) { return ch.draw(w, x, y) }, halfWide, halfNarrow); err != nil {
		return "", err
	}
	var names []string
	for _, l := range ch.Lines {
		names = append(names, l.Name)
	}
	if len(names) == 1 && names[0] == "" { // the title says it
		return f.html()
	}
	var err error
	f.Legend, err = legend(names, func(c draw.Canvas, n int) {
		c.StrokeLine2(line(series.colour(n), 2, dashes(n)...), 1, 7, 27, 7)
		if ch.Lines[n].Points {
			c.DrawGlyphNoClip(glyph(n), vg.Point{X: 14, Y: 7})
		}
	})
	if err != nil {
		return "", err
	}
	return f.html()
}

// note explains the dotted lines.
func (ch LineChart) note() string {
	var parts []string
	if ch.Note != "" {
		parts = append(parts, ch.Note)
	}
	if ch.Diagonal {
		parts = append(parts, "Dotted: "+orElse(ch.Y, "y")+" = "+orElse(ch.X, "x")+".")
	}
	for _, l := range ch.Levels {
		parts = append(parts, "Dotted: "+l.Label+".")
	}
	return strings.Join(parts, " ")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// spans returns the ranges of what can be drawn.
func (ch LineChart) spans() (x, y span) {
	x, y = noSpan, noSpan
	for _, l := range ch.Lines {
		for i := range l.X {
			if ch.drawable(l, i) {
				x.add(l.X[i])
				y.add(at(l.Y, i), at(l.Low, i), at(l.High, i))
			}
		}
	}
	if !y.empty() {
		for _, l := range ch.Levels {
			y.add(l.Value)
		}
	}
	return x, y
}

func (ch LineChart) drawable(l Line, i int) bool {
	return finite(at(l.X, i), at(l.Y, i)) && (!ch.LogX || l.X[i] > 1e-100)
}

func (ch LineChart) table(xd, yd int) *tableView {
	t := &Table{Head: []string{"", orElse(ch.X, "x"), orElse(ch.Y, "y"), "interval"}}
	bounded := false
	for _, l := range ch.Lines {
		for i := range l.X {
			value, bounds := interval(at(l.Y, i), at(l.Low, i), at(l.High, i), yd)
			bounded = bounded || bounds != ""
			t.Rows = append(t.Rows, []string{l.Name, number(l.X[i], xd), value, bounds})
		}
	}
	if len(t.Rows) > tablePoints {
		return nil
	}
	if !bounded {
		t.Head = t.Head[:3]
		for i := range t.Rows {
			t.Rows[i] = t.Rows[i][:3]
		}
	}
	return t.view()
}

func (ch LineChart) draw(width int, x, y span) (drawing, error) {
	p := newPlot(x, y)
	setTicks(p, width)
	if ch.LogX {
		p.X.Scale = plot.LogScale{}
		p.X.Tick.Marker = logTicks(x, ch.values(), width/tickRoom)
	}
	if ch.Diagonal {
		p.Y.Tick.Marker = p.X.Tick.Marker
	}
	p.Add(gridLines(ch.Diagonal, true))
	p.Add(plotter(func(c draw.Canvas, p *plot.Plot) {
		if ch.Diagonal {
			c.StrokeLine2(line(soft.colour(0), 1.2, 1.5, 3), c.Min.X, c.Min.Y, c.Max.X, c.Max.Y)
		}
		for _, l := range ch.Levels {
			if _, y := p.Transforms(&c); finite(l.Value) {
				c.StrokeLine2(line(soft.colour(0), 1.2, 1.5, 3), c.Min.X, y(l.Value), c.Max.X, y(l.Value))
			}
		}
		for n, l := range ch.Lines {
			ch.bounds(c, p, n, l)
		}
		for n, l := range ch.Lines {
			ch.curve(c, p, n, l)
		}
	}))
	return renderHalf(p, width, ch.Diagonal)
}

// values lists all x.
func (ch LineChart) values() []float64 {
	var all []float64
	for _, l := range ch.Lines {
		for i, v := range l.X {
			if ch.drawable(l, i) {
				all = append(all, v)
			}
		}
	}
	return all
}

// runs splits a line at gaps: [first, last) of the points that hang together.
func (ch LineChart) runs(l Line, use func(i int) bool) [][2]int {
	var runs [][2]int
	open := false
	for i := range l.X {
		ok := ch.drawable(l, i) && use(i)
		if ok && !open {
			runs = append(runs, [2]int{i, i})
		}
		if ok {
			runs[len(runs)-1][1] = i + 1
		}
		open = ok
	}
	return runs
}

func (ch LineChart) bounds(c draw.Canvas, p *plot.Plot, n int, l Line) {
	x, y := p.Transforms(&c)
	bounded := func(i int) bool { return finite(at(l.Low, i), at(l.High, i)) }
	for _, run := range ch.runs(l, bounded) {
		var pts []vg.Point
		step := max(1, (run[1]-run[0])/curvePoints)
		for i := run[0]; i < run[1]; i += step {
			if l.Points && !crowded(run) {
				whisker(c, line(series.colour(n), 1.2), x(l.X[i]), y(l.Low[i]), x(l.X[i]), y(l.High[i]), 2.5)
			}
			pts = append(pts, vg.Point{X: x(l.X[i]), Y: y(l.High[i])})
		}
		for i := run[0] + (run[1]-1-run[0])/step*step; i >= run[0]; i -= step {
			pts = append(pts, vg.Point{X: x(l.X[i]), Y: y(l.Low[i])})
		}
		if !l.Points || crowded(run) {
			c.FillPolygon(softened.colour(n), pts)
		}
	}
}

func (ch LineChart) curve(c draw.Canvas, p *plot.Plot, n int, l Line) {
	x, y := p.Transforms(&c)
	for _, run := range ch.runs(l, func(int) bool { return true }) {
		var pts []vg.Point
		for i := run[0]; i < run[1]; i++ {
			pts = append(pts, vg.Point{X: x(l.X[i]), Y: y(l.Y[i])})
		}
		pts = thin(pts)
		c.StrokeLines(line(series.colour(n), 2, dashes(n)...), pts)
		for _, pt := range pts {
			if (l.Points && !crowded(run)) || len(pts) == 1 {
				c.DrawGlyphNoClip(glyph(n), pt)
			}
		}
	}
}

// crowded says that points lie too close for marks and whiskers.
func crowded(run [2]int) bool { return run[1]-run[0] > 60 }

// curvePoints is about the number of points that a curve can show.
const curvePoints = 600

// thin drops points that lie closer than a pixel can tell; of every stretch the lowest and the highest stay, so
// that no spike is lost.
func thin(pts []vg.Point) []vg.Point {
	if len(pts) <= curvePoints {
		return pts
	}
	out := []vg.Point{pts[0]}
	stretch := 2 * ((len(pts) + curvePoints - 1) / curvePoints)
	for first := 1; first < len(pts)-1; first += stretch {
		low, high := first, first
		for i := first; i < min(first+stretch, len(pts)-1); i++ {
			if pts[i].Y < pts[low].Y {
				low = i
			}
			if pts[i].Y > pts[high].Y {
				high = i
			}
		}
		out = append(out, pts[min(low, high)])
		if low != high {
			out = append(out, pts[max(low, high)])
		}
	}
	return append(out, pts[len(pts)-1])
}
