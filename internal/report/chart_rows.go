package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rowChart lays out values along a horizontal axis, one below the other: names on the left (above the rows on
// narrow screens), numbers on the right. So names may be long and never meet.
type rowChart struct {
	groups []rowGroup
	scale  span
	chance float64 // NaN: none
	level  string  // what it is called; "": chance
	thin   bool    // rows of bars
}

type rowGroup struct {
	label string
	rows  []row
}

type row struct {
	shape            rowShape
	n                int // number of the series
	key              string
	value, low, high float64
}

type rowShape byte

const (
	dotRow rowShape = iota
	markRow
	barRow
)

// rowLayout is where things stand, in pixels.
type rowLayout struct {
	narrow              bool
	width               int
	pitch, head, gap    vg.Length // height of a row, of the line of a name above, between groups
	left, right, bottom vg.Length // margins: names, numbers, axis
	top                 vg.Length
	size                float64 // of the numbers
	labels              [][]string
	keys                bool
}

func (r rowChart) layout(width int) rowLayout {
	narrow := width == fullNarrow
	l := rowLayout{narrow: narrow, width: width, pitch: 30, left: 6, top: 6, bottom: 24, size: textSize}
	if r.thin {
		l.pitch, l.gap, l.size = 15, 16, smallSize
		if len(r.groups[0].rows) == 1 {
			l.pitch, l.gap = 18, 8
		}
	}
	room := vg.Length(0.34)
	if narrow {
		l.head, l.gap, room = 18, 8, 0.97
		if !r.thin {
			l.pitch = 20
		}
	}
	if finite(r.chance) {
		l.top = 20
	}
	decimals := r.scale.decimals()
	for _, g := range r.groups {
		f := sans(textSize+1, false)
		lines := wrap(g.label, f, vg.Length(l.width)*room, 2)
		if narrow && !r.thin {
			lines = wrap(g.label, f, vg.Length(l.width)*0.62, 1) // the numbers stand beside it
		} else if narrow {
			lines = wrap(g.label, f, vg.Length(l.width)*room, 1)
		}
		l.labels = append(l.labels, lines)
		for _, s := range lines {
			if !narrow {
				l.left = max(l.left, textWidth(s, f)+14)
			}
		}
		for _, row := range g.rows {
			value, bounds := interval(row.value, row.low, row.high, decimals)
			if r.thin {
				bounds = ""
			}
			if !narrow || r.thin {
				l.right = max(l.right, textWidth(value+"  "+bounds, sans(l.size, true))+12)
			}
			l.keys = l.keys || row.key != ""
		}
	}
	if l.keys {
		l.left += 16
	}
	if narrow && !r.thin {
		l.right = 8
	}
	return l
}

// height is the height of a group.
func (l rowLayout) height(g rowGroup, i int) vg.Length {
	h := l.head + l.pitch*vg.Length(max(len(g.rows), 1))
	if !l.narrow {
		h = max(h, vg.Length(len(l.labels[i]))*(textSize+1)*lineGap+4)
	}
	return h
}

func (r rowChart) draw(width int) (drawing, error) {
	l := r.layout(width)
	total := vg.Length(0)
	for i, g := range r.groups {
		total += l.height(g, i) + l.gap
	}
	p := newPlot(r.scale, span{0, float64(max(total, 1))})
	p.HideY()
	p.Y.Padding = 0
	p.X.Tick.Marker = linearTicks(r.scale, 4+width/300)
	p.Add(gridLines(true, false), plotter(func(c draw.Canvas, p *plot.Plot) { r.plot(c, p, l) }))
	return render(l.width, int(math.Ceil(float64(total+l.top+l.bottom))), func(c draw.Canvas) {
		p.Draw(draw.Crop(c, l.left, -l.right, 2, -l.top))
	})
}

func (r rowChart) plot(c draw.Canvas, p *plot.Plot, l rowLayout) {
	x, y := p.Transforms(&c)
	if finite(r.chance) {
		c.StrokeLine2(line(soft.colour(0), 1.2, 4, 3), x(r.chance), c.Min.Y, x(r.chance), c.Max.Y+3)
		name := r.level
		if name == "" {
			name = "chance"
		}
		s := shorten(clean(name), sans(smallSize, false), vg.Length(l.width)*0.3) + " " + strconv.FormatFloat(r.chance, 'g', 4, 64)
		half := textWidth(s, sans(smallSize, false)) / 2
		at := min(max(x(r.chance), half), vg.Length(l.width)-half)
		put(c, vg.Point{X: at, Y: c.Max.Y + 7}, draw.XCenter, sans(smallSize, false), soft.colour(0), s)
	}
	r.markLines(c, p)
	top := float64(p.Y.Max)
	for i, g := range r.groups {
		h := l.height(g, i)
		upper := y(top)
		r.names(c, l, i, upper, h)
		first := upper - l.head - (h-l.head-l.pitch*vg.Length(len(g.rows)))/2
		for j, row := range g.rows {
			r.row(c, x, row, l, first-l.pitch*(vg.Length(j)+0.5), first+l.head)
		}
		top -= float64(h + l.gap)
		if !l.narrow && !r.thin && i+1 < len(r.groups) && g.rows[0].shape != r.groups[i+1].rows[0].shape {
			c.StrokeLine2(line(grid.colour(0), 1), 0, y(top), vg.Length(l.width), y(top)) // measured above, published below
		}
	}
}

// markLines carries published values through the whole chart as hairlines.
func (r rowChart) markLines(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	for _, g := range r.groups {
		for _, row := range g.rows {
			if row.shape == markRow && finite(row.value) {
				c.StrokeLine2(line(soft.colour(0), 0.8, 1.2, 3), x(row.value), c.Min.Y, x(row.value), c.Max.Y)
			}
		}
	}
}

// names writes the name of group i.
func (r rowChart) names(c draw.Canvas, l rowLayout, i int, upper, h vg.Length) {
	f := sans(textSize+1, l.narrow && r.thin)
	lines := l.labels[i]
	if l.narrow {
		for _, s := range lines {
			put(c, vg.Point{X: 0, Y: upper - 13}, draw.XLeft, f, ink.colour(0), s)
		}
		return
	}
	at := upper - h/2 + vg.Length(len(lines)-1)*f.Size*lineGap/2 - f.Size*0.35
	right := l.left - 14
	if l.keys {
		right -= 16
	}
	for _, s := range lines {
		put(c, vg.Point{X: right, Y: at}, draw.XRight, f, ink.colour(0), s)
		at -= f.Size * lineGap
	}
}

// row draws one value at height y; head is the top of the line that holds the name on narrow screens.
func (r rowChart) row(c draw.Canvas, x func(float64) vg.Length, row row, l rowLayout, y, head vg.Length) {
	base := y - vg.Length(l.size)*0.35
	if row.key != "" {
		put(c, vg.Point{X: c.Min.X - 6, Y: base}, draw.XRight, sans(smallSize-1, false), soft.colour(0), row.key)
	}
	value, bounds := interval(row.value, row.low, row.high, r.scale.decimals())
	right := vg.Length(l.width)
	if l.narrow && !r.thin {
		base = head - 13
	}
	if bounds != "" && !r.thin {
		put(c, vg.Point{X: right, Y: base}, draw.XRight, sans(l.size, false), soft.colour(0), bounds)
		right -= r.boundsWidth(l) + 8
	} else if !r.thin && !l.narrow {
		right -= r.boundsWidth(l) + 8
	}
	put(c, vg.Point{X: right, Y: base}, draw.XRight, sans(l.size, !r.thin), ink.colour(0), value)
	if !finite(row.value) {
		return
	}
	switch row.shape {
	case barRow:
		r.bar(c, x, row, l, y)
	case markRow:
		c.DrawGlyphNoClip(draw.GlyphStyle{Color: ink.colour(0), Radius: 4.6, Shape: polygon{4, up, true}}, vg.Point{X: x(row.value), Y: y})
	default:
		if finite(row.low, row.high) {
			whisker(c, line(series.colour(row.n), 2), x(row.low), y, x(row.high), y, 4)
		}
		c.DrawGlyphNoClip(draw.GlyphStyle{Color: series.colour(row.n), Radius: 5, Shape: draw.CircleGlyph{}}, vg.Point{X: x(row.value), Y: y})
	}
}

// boundsWidth is the width of the column of intervals.
func (r rowChart) boundsWidth(l rowLayout) vg.Length {
	w := vg.Length(0)
	for _, g := range r.groups {
		for _, row := range g.rows {
			_, bounds := interval(row.value, row.low, row.high, r.scale.decimals())
			w = max(w, textWidth(bounds, sans(l.size, false)))
		}
	}
	return w
}

func (r rowChart) bar(c draw.Canvas, x func(float64) vg.Length, row row, l rowLayout, y vg.Length) {
	half := l.pitch/2 - 1.5
	x0, x1 := x(0), x(row.value)
	c.FillPolygon(series.colour(row.n), []vg.Point{{X: x0, Y: y - half}, {X: x1, Y: y - half}, {X: x1, Y: y + half}, {X: x0, Y: y + half}})
	if finite(row.low, row.high) {
		whisker(c, line(card.colour(0), 3.2), x(row.low), y, x(row.high), y, 3) // a rim, so that it shows on the bar
		whisker(c, line(whiskered.colour(row.n), 1.4), x(row.low), y, x(row.high), y, 2.5)
	}
}
