package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "GridSample", Since: 16, Infer: inferGridSample, Compile: compileGridSample})
}

// gridSample reads a picture x [N,C,D1,…,Dk] at the places of a grid [N,G1,…,Gk,k] whose last axis lists coordinates from
// the innermost dimension outwards, each from -1 to 1 across the picture.
type gridSample struct {
	in, out            []int // spatial sizes
	batch, channels    int
	mode, padding      string
	alignCorners       bool
	taps               int // along one dimension
	inSize, outSize, k int
}

func planGridSample(c *NodeCtx) (*gridSample, error) {
	x, g := c.In[0].Shape, c.In[1].Shape
	if err := checkRank(c, 0, 4, maxRank); err != nil {
		return nil, err
	}
	if len(g) != len(x) || g[0] != x[0] || g[len(g)-1] != len(x)-2 {
		return nil, badInput(c, 1, "of shape %v is no grid for a picture of shape %v", g, x)
	}
	p := &gridSample{
		in: x[2:], out: g[1 : len(g)-1], batch: x[0], channels: x[1], k: len(x) - 2,
		mode: c.AttrString("mode", "linear"), padding: c.AttrString("padding_mode", "zeros"),
		alignCorners: c.AttrInt("align_corners", 0) != 0,
		inSize:       numElems(x[2:]), outSize: numElems(g[1 : len(g)-1]),
	}
	if p.inSize == 0 {
		return nil, badInput(c, 0, "of shape %v is an empty picture", x)
	}
	switch p.mode {
	case "nearest":
		p.taps = 1
	case "linear", "bilinear": // the latter until opset 20
		p.taps = 2
	case "cubic", "bicubic":
		p.taps = 4
	default:
		return nil, c.Refuse("mode", p.mode+" is not known")
	}
	switch p.padding {
	case "zeros", "border", "reflection":
		return p, nil
	}
	return nil, c.Refuse("padding_mode", p.padding+" is not known")
}

func inferGridSample(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkClass(c, i, classFloat); err != nil {
			return err
		}
	}
	p, err := planGridSample(c)
	if err != nil {
		return err
	}
	return out1(c, c.In[0].DType, append([]int{p.batch, p.channels}, p.out...))
}

func compileGridSample(c *NodeCtx) (Kernel, error) {
	p, err := planGridSample(c)
	if err != nil {
		return Kernel{}, err
	}
	read := numbersReader(c.In[1].DType)
	if c.In[0].DType == tensor.F64 {
		return sampleGrid[float64](p, read), nil
	}
	return sampleGrid[float32](p, read), nil
}

func sampleGrid[T float](p *gridSample, read func(tensor.Tensor) []float64) Kernel {
	return run(func(f *Frame) {
		dst, src, grid := view[T](f.Out[0]), view[T](f.In[0]), read(f.In[1])
		rowTasks(f.Pool, p.batch*p.outSize, p.channels*int(math.Pow(float64(p.taps), float64(p.k))), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				n, at := i/p.outSize, i%p.outSize
				offsets, weights := p.place(grid[i*p.k:][:p.k])
				for ch := range p.channels {
					plane := src[(n*p.channels+ch)*p.inSize:][:p.inSize]
					sum := 0.0
					for t, off := range offsets {
						if off >= 0 {
							sum += weights[t] * float64(plane[off])
						}
					}
					dst[(n*p.channels+ch)*p.outSize+at] = T(sum)
				}
			}
		})
	})
}

// place returns the elements of a plane that meet at a place of the grid, -1 for those outside, and their weights.
func (p *gridSample) place(grid []float64) (offsets []int, weights []float64) {
	offsets, weights = []int{0}, []float64{1}
	stride := 1
	for i, g := range grid {
		d := p.k - 1 - i
		first, w := p.along(g, p.in[d])
		var o2 []int
		var w2 []float64
		for t, weight := range w {
			x := p.index(first+t, p.in[d])
			for j, off := range offsets {
				next := -1
				if off >= 0 && x >= 0 {
					next = off + x*stride
				}
				o2, w2 = append(o2, next), append(w2, weights[j]*weight)
			}
		}
		offsets, weights = o2, w2
		stride *= p.in[d]
	}
	return offsets, weights
}

// along returns the first element along a dimension of n elements that coordinate g reads, and the weights from there on.
func (p *gridSample) along(g float64, n int) (first int, weights []float64) {
	x := ((g+1)*float64(n) - 1) / 2
	if p.alignCorners {
		x = (g + 1) / 2 * float64(n-1)
	}
	if p.taps == 1 {
		x = math.RoundToEven(x)
	}
	lo, hi := p.borders(n)
	if x < lo || x > hi {
		switch p.padding {
		case "border":
			x = math.Max(0, math.Min(float64(n-1), x))
		case "reflection":
			x = reflected(x, lo, hi)
		}
	}
	if !(math.Abs(x) < maxWindow) { // far outside, or NaN: nothing there
		return -maxWindow, make([]float64, p.taps)
	}
	base := math.Floor(x)
	t := x - base
	switch p.taps {
	case 1:
		return int(x), []float64{1}
	case 2:
		return int(base), []float64{1 - t, t}
	}
	w := cubicTaps(t)
	return int(base) - 1, w[:]
}

func (p *gridSample) borders(n int) (lo, hi float64) {
	if p.alignCorners {
		return 0, float64(n - 1)
	}
	return -0.5, float64(n) - 0.5
}

// index applies the padding to element x of a dimension; -1 is an element of zeros.
func (p *gridSample) index(x, n int) int {
	if x >= 0 && x < n {
		return x
	}
	switch p.padding {
	case "border":
		return max(0, min(n-1, x))
	case "reflection":
		lo, hi := p.borders(n)
		return max(0, min(n-1, int(reflected(float64(x), lo, hi))))
	}
	return -1
}

// reflected folds x into [lo, hi].
func reflected(x, lo, hi float64) float64 {
	width := hi - lo
	if width <= 0 {
		return lo
	}
	away := math.Mod(math.Abs(x-lo), 2*width)
	return lo + math.Min(away, 2*width-away)
}

// cubicTaps are the weights of four neighbours for a place t behind the second.
func cubicTaps(t float64) [4]float64 {
	keys := resizePlan{cubicA: -0.75}
	return [4]float64{keys.cubic(1 + t), keys.cubic(t), keys.cubic(1 - t), keys.cubic(2 - t)}
}
