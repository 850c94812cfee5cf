package report

import (
	"fmt"
	"html/template"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Histogram compares how the values of series spread: outlines over common bins, each series as a share of its
// own values. NaN and infinite values are left out and counted below the chart.
type Histogram struct {
	Title, Unit string
	Series      []Series
	Bins        int // 0: 30; at most 200
}

func (ch Histogram) svg() (template.HTML, error) {
	f := figure{Title: ch.Title, X: ch.Unit, Y: "share of values, %", Kind: "Histogram"}
	x, all, dropped := noSpan, 0, 0
	var names []string
	for _, s := range ch.Series {
		x.add(s.Values...)
		names = append(names, s.Name)
		all += len(s.Values)
		for _, v := range s.Values {
			if !finite(v) {
				dropped++
			}
		}
	}
	if f.Empty = x.empty(); f.Empty {
		return f.html()
	}
	x = x.padded(0)
	shares := ch.shares(x)
	y := span{0, 0}
	for _, s := range shares {
		y.add(s...)
	}
	if dropped > 0 {
		f.Note = fmt.Sprintf("Left out: %d of %d values (not finite).", dropped, all)
	}
	f.Table = ch.table()
	err := f.drawn(func(w int) (drawing, error) { return drawSteps(w, x, span{0, y.high * 1.05}, shares) }, halfWide, halfNarrow)
	if err != nil {
		return "", err
	}
	f.Legend, err = legend(names, func(c draw.Canvas, n int) {
		step(c, n, []vg.Point{{X: 2, Y: 1}, {X: 2, Y: 12}, {X: 26, Y: 12}, {X: 26, Y: 1}})
	})
	if err != nil {
		return "", err
	}
	return f.html()
}

// shares counts every series in common bins and returns percent, [series][bin].
func (ch Histogram) shares(x span) [][]float64 {
	bins := min(ch.Bins, 200)
	if bins <= 0 {
		bins = 30
	}
	var all [][]float64
	for _, s := range ch.Series {
		share := make([]float64, bins)
		n := 0
		for _, v := range s.Values {
			if finite(v) {
				share[min(int(float64(bins)*((v-x.low)/(x.high-x.low))), bins-1)]++
				n++
			}
		}
		for i := range share {
			share[i] *= 100 / float64(max(n, 1))
		}
		all = append(all, share)
	}
	return all
}

// table gives the moments: bins would be too long.
func (ch Histogram) table() *tableView {
	t := &Table{Head: []string{"", "values", "mean", "standard deviation", "lowest", "highest"}}
	for _, s := range ch.Series {
		r, sum, n := noSpan, 0.0, 0.0
		for _, v := range s.Values {
			if finite(v) {
				r.add(v)
				sum += v
				n++
			}
		}
		mean, square := sum/n, 0.0
		for _, v := range s.Values {
			if finite(v) {
				square += (v - mean) * (v - mean)
			}
		}
		d := r.decimals() + 1
		t.Rows = append(t.Rows, []string{
			s.Name, number(n, 0), number(mean, d), number(math.Sqrt(square/max(n-1, 1)), d), number(r.low, d), number(r.high, d),
		})
	}
	return t.view()
}

func drawSteps(width int, x, y span, shares [][]float64) (drawing, error) {
	p := newPlot(x, y)
	setTicks(p, width)
	p.Add(gridLines(false, true), plotter(func(c draw.Canvas, p *plot.Plot) {
		tx, ty := p.Transforms(&c)
		for n, share := range shares {
			pts := []vg.Point{{X: c.Min.X, Y: c.Min.Y}}
			for i, v := range share {
				for _, edge := range []float64{float64(i), float64(i + 1)} {
					at := x.low + (x.high-x.low)*edge/float64(len(share))
					pts = append(pts, vg.Point{X: tx(at), Y: ty(v)})
				}
			}
			step(c, n, append(pts, vg.Point{X: c.Max.X, Y: c.Min.Y}))
		}
	}))
	return renderHalf(p, width, false)
}

// step draws the outline of a histogram, open at the bottom.
func step(c draw.Canvas, n int, pts []vg.Point) {
	c.FillPolygon(softened.colour(n), pts)
	c.StrokeLines(line(series.colour(n), 1.6, dashes(n)...), pts)
}

// setTicks places ticks on linear axes.
func setTicks(p *plot.Plot, width int) {
	p.X.Tick.Marker = linearTicks(span{p.X.Min, p.X.Max}, width/75)
	p.Y.Tick.Marker = linearTicks(span{p.Y.Min, p.Y.Max}, 5)
}

// renderHalf draws a chart of the size that stands two in a row.
func renderHalf(p *plot.Plot, width int, square bool) (drawing, error) {
	return render(width, height(width, square), func(c draw.Canvas) { p.Draw(draw.Crop(c, 2, -8, 4, -8)) })
}
