package graph

import (
	"math"

	"winnow/internal/kernel"
)

// taps are the input elements, and their weights, that one output coordinate of one dimension is made of.
type taps struct {
	at      []int
	weight  []float64
	outside bool // shows the extrapolation value
}

// tapsOf returns the taps of output coordinate x of dimension d, whose input has n elements.
func (p *resizePlan) tapsOf(d, x, n int) taps {
	at, ok := p.source(d, x, n)
	if !ok {
		return taps{outside: true}
	}
	// The element left of the coordinate; a whole coordinate counts as 1 to the right of its neighbour, so that the
	// fraction lies in (0, 1].
	left := math.Ceil(at) - 1
	first, w := p.weights(at-left, p.scale[d])
	t := taps{at: make([]int, len(w)), weight: w}
	sum := 0.0
	for i := range w {
		j := int(left) + first + i
		if p.exclude && (j < 0 || j >= n) {
			w[i] = 0
		}
		sum += w[i]
		t.at[i] = min(max(j, 0), n-1)
	}
	for i := range w {
		if p.exclude || p.antialias {
			w[i] /= sum
		}
	}
	return t
}

// weights returns the offset of the first tap from the left neighbour and all weights. With antialias a reduction
// (scale < 1) widens the filter by 1/scale.
func (p *resizePlan) weights(ratio, scale float64) (first int, w []float64) {
	reach, filter := 1.0, func(x float64) float64 { return math.Max(0, 1-math.Abs(x)) }
	if p.mode == "cubic" {
		reach, filter = 2, p.cubic
	}
	if !p.antialias || scale > 1 {
		scale = 1
	}
	first = int(math.Floor(-reach/scale)) + 1
	w = make([]float64, 2-2*first)
	for i := range w {
		w[i] = filter((float64(first+i) - ratio) * scale)
	}
	return first, w
}

// cubic is Keys' convolution kernel with parameter cubic_coeff_a (Keys, "Cubic convolution interpolation for digital
// image processing", 1981).
func (p *resizePlan) cubic(x float64) float64 {
	x, a := math.Abs(x), p.cubicA
	switch {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((x-5)*x+8)*x*a - 4*a
	}
	return 0
}

// interpolateKernel resizes one dimension after the other, the last first, skipping those that keep their size.
func interpolateKernel[T float](c *NodeCtx, p *resizePlan) Kernel {
	shape := append([]int{}, c.In[0].Shape...)
	type pass struct {
		taps             []taps
		outer, in, inner int
	}
	var passes []pass
	for d := len(shape) - 1; d >= 0; d-- {
		if p.scale[d] == 1 && p.out[d] == shape[d] && p.coords != "tf_crop_and_resize" {
			continue
		}
		outer, n, inner := splitAt(shape, d)
		ps := pass{make([]taps, p.out[d]), outer, n, inner}
		for x := range ps.taps {
			ps.taps[x] = p.tapsOf(d, x, n)
		}
		passes = append(passes, ps)
		shape[d] = p.out[d]
	}
	return run(func(f *Frame) {
		src := view[T](f.In[0])
		if len(f.Out[0].Data) == 0 {
			return
		}
		for i, ps := range passes {
			dst := view[T](f.Out[0])
			if i < len(passes)-1 {
				dst = make([]T, ps.outer*len(ps.taps)*ps.inner)
			}
			interpolate(f.Pool, dst, src, ps.taps, ps.outer, ps.in, ps.inner, T(p.extrapolated))
			src = dst
		}
		if len(passes) == 0 {
			copy(view[T](f.Out[0]), src)
		}
	})
}

// interpolate applies the taps to the middle dimension of src [outer, in, inner].
func interpolate[T float](p *kernel.Pool, dst, src []T, ts []taps, outer, in, inner int, outside T) {
	rowTasks(p, outer*len(ts), inner, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row, t := dst[r*inner:][:inner], ts[r%len(ts)]
			if t.outside {
				fillWith(row, outside)
				continue
			}
			base := src[r/len(ts)*in*inner:]
			for i := range row {
				sum := 0.0
				for k, at := range t.at {
					sum += t.weight[k] * float64(base[at*inner+i])
				}
				row[i] = T(sum)
			}
		}
	})
}
