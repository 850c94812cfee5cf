package miniworld

import (
	"math"
	"slices"
	"sync"
)

// gridSide is the side of a shape's normalised mask.
const gridSide = 20

// grid is a soft mask of any size, row by row, values in [0, 1].
type grid struct {
	width, height int
	v             []float64
}

// normalised resamples a soft mask over its bounding square with 8 % margin, so that shapes compare by form only. At
// least one value must exceed 0.5.
func (g grid) normalised() (out [gridSide * gridSide]float64) {
	x0, y0, x1, y1 := g.bounds()
	side := float64(max(y1-y0, x1-x0))
	for i := range gridSide {
		y := float64(y0+y1)/2 + step(i)*side*1.08 - 0.5
		for j := range gridSide {
			x := float64(x0+x1)/2 + step(j)*side*1.08 - 0.5
			out[i*gridSide+j] = g.bilinear(x, y)
		}
	}
	return out
}

// step is the place of sample i on a unit interval around zero.
func step(i int) float64 { return (float64(i)+0.5)/gridSide - 0.5 }

// bounds returns the half-open bounding box of the values above 0.5.
func (g grid) bounds() (x0, y0, x1, y1 int) {
	x0, y0 = g.width, g.height
	for i, v := range g.v {
		if v > 0.5 {
			x, y := i%g.width, i/g.width
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x+1), max(y1, y+1)
		}
	}
	return x0, y0, x1, y1
}

// bilinear reads the mask between pixel centres (which lie at whole numbers); outside their hull it is 0.
func (g grid) bilinear(x, y float64) float64 {
	if x < 0 || y < 0 || x > float64(g.width-1) || y > float64(g.height-1) {
		return 0
	}
	x0, y0 := int(x), int(y)
	x1, y1 := min(x0+1, g.width-1), min(y0+1, g.height-1)
	fx, fy := x-float64(x0), y-float64(y0)
	top := g.v[y0*g.width+x0]*(1-fx) + g.v[y0*g.width+x1]*fx
	bottom := g.v[y1*g.width+x0]*(1-fx) + g.v[y1*g.width+x1]*fx
	return top*(1-fy) + bottom*fy
}

// template is a normalised rendering of shape Shapes[shape].
type template struct {
	shape int
	v     [gridSide * gridSide]float64
}

// templates returns every shape at six radii and four sub-pixel positions; made on first use.
var templates = sync.OnceValue(func() []template {
	var out []template
	for k, shape := range Shapes {
		for _, r := range []float64{7.6, 8.1, 8.6, 11.6, 12.4, 13.2} {
			for _, off := range [][2]float64{{0, 0}, {0.5, 0.5}, {0, 0.5}, {0.5, 0}} {
				out = append(out, template{k, stamp(shape, r, off[1], off[0]).normalised()})
			}
		}
	}
	return out
})

func stamp(shape string, r, offsetX, offsetY float64) grid {
	const side = 48
	g := grid{side, side, make([]float64, side*side)}
	for i := range g.v {
		x, y := float64(i%side)+0.5-side/2-offsetX, float64(i/side)+0.5-side/2-offsetY
		g.v[i] = clamp(0.5-distance(shape, x, y, r), 0, 1)
	}
	return g
}

// bestShape returns the shape whose template overlaps most with the normalised mask, by intersection over union.
func bestShape(v [gridSide * gridSide]float64) (shape int, iou float64) {
	for _, t := range templates() {
		var both, either float64
		for i := range v {
			both += math.Min(v[i], t.v[i])
			either += math.Max(v[i], t.v[i])
		}
		if r := both / either; r > iou {
			shape, iou = t.shape, r
		}
	}
	return shape, iou
}

// Found is an object that the checker sees. X and Y are the centre of its bounding box in pixels, Extent the box's
// longer side, IoU the overlap in [0, 1] with the best template of its shape: how well formed it is.
type Found struct {
	Color  string
	Shape  string
	Size   string
	X, Y   float64
	Extent int
	IoU    float64
}

// largeFrom is the extent in pixels from which an object counts as large: the middle between the two ranges of radii.
const largeFrom = 21

func (p *pixels) classify(b *blob) Found {
	x0, y0, x1, y1 := Size, Size, 0, 0
	for i, set := range b.mask {
		if set {
			x, y := i%Size, i/Size
			x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
		}
	}
	shape, iou := bestShape(p.soft(&b.mask).normalised())
	f := Found{
		Color: Colors[b.color], Shape: Shapes[shape], Size: "small", IoU: iou,
		X: float64(x0+x1+1) / 2, Y: float64(y0+y1+1) / 2, Extent: max(x1-x0, y1-y0) + 1,
	}
	if f.Extent >= largeFrom {
		f.Size = "large"
	}
	return f
}

// soft turns a blob into coverage: its chroma relative to that of its saturated core. A blob too pale for that is
// taken as it is.
func (p *pixels) soft(m *mask) grid {
	var inside []float64
	for i, set := range m {
		if set {
			inside = append(inside, p.chroma[i])
		}
	}
	core := math.Max(percentile(inside, 0.8), 0.3)
	g := grid{Size, Size, make([]float64, Size*Size)}
	solid := 0
	for i, set := range dilate(m) {
		if set {
			g.v[i] = clamp(p.chroma[i]/core, 0, 1)
		}
		if g.v[i] > 0.5 {
			solid++
		}
	}
	if solid >= 10 {
		return g
	}
	for i, set := range m {
		g.v[i] = 0
		if set {
			g.v[i] = 1
		}
	}
	return g
}

// percentile interpolates linearly between the order statistics of values, which it sorts.
func percentile(values []float64, share float64) float64 {
	slices.Sort(values)
	at := share * float64(len(values)-1)
	low := int(at)
	high := min(low+1, len(values)-1)
	return values[low] + (values[high]-values[low])*(at-float64(low))
}
