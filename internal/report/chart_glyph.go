package report

import (
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// polygon is a glyph: corners on a circle, the first at the angle start. The outlines of gonum's own glyphs are too
// thin to be told apart.
type polygon struct {
	corners int // 0: a circle
	start   float64
	hollow  bool
}

// DrawGlyph implements draw.GlyphDrawer.
func (g polygon) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, pt vg.Point) {
	var p vg.Path
	if g.corners == 0 {
		p.Move(vg.Point{X: pt.X + sty.Radius, Y: pt.Y})
		p.Arc(pt, sty.Radius, 0, 2*math.Pi)
	}
	for i := range g.corners {
		sin, cos := math.Sincos(g.start + 2*math.Pi*float64(i)/float64(g.corners))
		at := vg.Point{X: pt.X + 1.25*sty.Radius*vg.Length(cos), Y: pt.Y + 1.25*sty.Radius*vg.Length(sin)}
		if i == 0 {
			p.Move(at)
		} else {
			p.Line(at)
		}
	}
	p.Close()
	if !g.hollow {
		c.SetColor(sty.Color)
		c.Fill(p)
		return
	}
	c.SetColor(card.colour(0))
	c.Fill(p)
	c.SetLineStyle(line(sty.Color, 1.5))
	c.Stroke(p)
}

const (
	up   = math.Pi / 2
	down = -math.Pi / 2
)

// glyphs tell series apart without colour.
var glyphs = [seriesColours]draw.GlyphDrawer{
	polygon{},
	polygon{4, math.Pi / 4, false},
	polygon{3, up, false},
	polygon{4, up, false},
	polygon{0, 0, true},
	polygon{4, math.Pi / 4, true},
	polygon{3, down, true},
	polygon{4, up, true},
}

// glyph returns the mark of series n.
func glyph(n int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: series.colour(n), Radius: 3.4, Shape: glyphs[(n+n/seriesColours)%seriesColours]}
}
