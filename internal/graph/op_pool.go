package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "MaxPool", Since: 1, Infer: inferPool, Compile: compilePool, VJP: maxPoolVJP})
	Register(Operator{Name: "AveragePool", Since: 1, Infer: inferPool, Compile: compilePool, VJP: averagePoolVJP})
	Register(Operator{Name: "GlobalAveragePool", Since: 1, Infer: inferGlobalPool, Compile: compileGlobalPool, VJP: globalAverageVJP})
	Register(Operator{Name: "GlobalMaxPool", Since: 1, Infer: inferGlobalPool, Compile: compileGlobalPool, VJP: globalMaxVJP})
}

// poolWindow reads the window and the size of the result.
func poolWindow(c *NodeCtx) (window, []int, error) {
	in := c.In[0].Shape
	w, err := readWindow(c, in[2:], nil)
	if err != nil {
		return w, nil, err
	}
	shape := append([]int{}, in[:2]...)
	for i, n := range in[2:] {
		size, err := w.out(c, i, n)
		if err != nil {
			return w, nil, err
		}
		if c.AttrInt("ceil_mode", 0) != 0 {
			room := n + w.begin[i] + w.end[i] - w.span(i)
			size = (room+w.stride[i]-1)/w.stride[i] + 1
			if (size-1)*w.stride[i] >= n+w.begin[i] { // a window that begins in the padding at the end is dropped
				size--
			}
		}
		shape = append(shape, size)
	}
	return w, shape, nil
}

func inferPool(c *NodeCtx) error {
	outs := 1
	if c.Node.Op == "MaxPool" {
		outs = 2
	}
	if err := checkArity(c, 1, 1, 1, outs); err != nil {
		return err
	}
	types := classFloat
	if c.Node.Op == "MaxPool" {
		types = classNumber
	}
	if err := checkClass(c, 0, types); err != nil {
		return err
	}
	if err := checkRank(c, 0, 3, maxRank); err != nil {
		return err
	}
	_, shape, err := poolWindow(c)
	if err != nil {
		return err
	}
	if numElems(c.In[0].Shape) == 0 && numElems(c.In[0].Shape[:2]) > 0 {
		return badInput(c, 0, "of shape %v has nothing to pool", c.In[0].Shape)
	}
	return setOut(c, Type{c.In[0].DType, shape}, Type{tensor.I64, shape})
}

func compilePool(c *NodeCtx) (Kernel, error) {
	w, shape, err := poolWindow(c)
	if err != nil {
		return Kernel{}, err
	}
	if c.Node.Op == "AveragePool" {
		pad := c.AttrInt("count_include_pad", 0) != 0
		if c.In[0].DType == tensor.F64 {
			return averagePool[float64](c, w, shape, pad), nil
		}
		return averagePool[float32](c, w, shape, pad), nil
	}
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return maxPool[float32](c, w, shape), nil
	case tensor.F64:
		return maxPool[float64](c, w, shape), nil
	case tensor.I8:
		return maxPool[int8](c, w, shape), nil
	case tensor.U8:
		return maxPool[uint8](c, w, shape), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

// poolWalk visits windows of one plane.
type poolWalk struct {
	window
	in, out []int // spatial sizes
	str     []int
	taps    int
}

func newPoolWalk(w window, in, out []int) *poolWalk {
	return &poolWalk{w, in, out, rowStrides(in), numElems(w.kernel)}
}

// each calls f with the input offset of every tap of output position o that lies inside the input. It returns the number
// of taps inside the input or its padding.
func (p *poolWalk) each(o int, f func(at int)) (padded int) {
	return p.eachTap(o, func(_, at int) { f(at) })
}

// eachTap is each with the number of the tap.
func (p *poolWalk) eachTap(o int, f func(tap, at int)) (padded int) {
	for tap := range p.taps {
		at, inside, rest, pos := 0, true, tap, o
		inPad := true
		for d := len(p.in) - 1; d >= 0; d-- {
			x := pos%p.out[d]*p.stride[d] - p.begin[d] + rest%p.kernel[d]*p.dil[d]
			pos /= p.out[d]
			rest /= p.kernel[d]
			inside = inside && x >= 0 && x < p.in[d]
			inPad = inPad && x < p.in[d]+p.end[d]
			at += x * p.str[d]
		}
		if inPad {
			padded++
		}
		if inside {
			f(tap, at)
		}
	}
	return padded
}

func maxPool[T number](c *NodeCtx, w window, shape []int) Kernel {
	p := newPoolWalk(w, c.In[0].Shape[2:], shape[2:])
	inSize, outSize := numElems(p.in), numElems(p.out)
	hasIndex, columnMajor := len(c.Out) > 1, c.AttrInt("storage_order", 0) != 0
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, len(dst), p.taps, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				plane := src[i/outSize*inSize:][:inSize]
				best := -1
				p.each(i%outSize, func(at int) {
					if best < 0 || plane[at] > plane[best] {
						best = at
					}
				})
				dst[i] = plane[max(best, 0)]
				if hasIndex {
					if columnMajor {
						best = p.columnMajor(best)
					}
					view[int64](f.Out[1])[i] = int64(i/outSize*inSize + best)
				}
			}
		})
	})
}

// columnMajor is offset at of a plane when its first dimension runs fastest.
func (p *poolWalk) columnMajor(at int) int {
	out := 0
	for d := len(p.in) - 1; d >= 0; d-- {
		out = out*p.in[d] + at%p.in[d]
		at /= p.in[d]
	}
	return out
}

func averagePool[T float](c *NodeCtx, w window, shape []int, includePad bool) Kernel {
	p := newPoolWalk(w, c.In[0].Shape[2:], shape[2:])
	inSize, outSize := numElems(p.in), numElems(p.out)
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, len(dst), p.taps, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				plane := src[i/outSize*inSize:][:inSize]
				sum, n := 0.0, 0
				padded := p.each(i%outSize, func(at int) {
					sum += float64(plane[at])
					n++
				})
				if includePad {
					n = padded
				}
				dst[i] = T(sum / float64(n))
			}
		})
	})
}

func inferGlobalPool(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, maxRank); err != nil {
		return err
	}
	shape := append([]int{}, c.In[0].Shape...)
	for i := 2; i < len(shape); i++ {
		shape[i] = 1
	}
	return out1(c, c.In[0].DType, shape)
}

func compileGlobalPool(c *NodeCtx) (Kernel, error) {
	n := numElems(c.In[0].Shape[2:])
	isMax := c.Node.Op == "GlobalMaxPool"
	if c.In[0].DType == tensor.F64 {
		return globalPool[float64](n, isMax), nil
	}
	return globalPool[float32](n, isMax), nil
}

func globalPool[T float](n int, isMax bool) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, len(dst), n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				sum, best := 0.0, math.Inf(-1)
				for _, v := range src[i*n:][:n] {
					sum += float64(v)
					best = math.Max(best, float64(v))
				}
				dst[i] = T(sum / float64(n))
				if isMax {
					dst[i] = T(best)
				}
			}
		})
	})
}
