package graph

import (
	"math"

	"winnow/internal/kernel"
)

func init() {
	Register(Operator{Name: "Slice", Since: 1, Infer: inferSlice, Compile: compileSlice, VJP: sliceVJP})
}

// sliceRange is the selection along one dimension: n elements from start on, step apart.
type sliceRange struct {
	start, step, n int
}

// sliceRanges reads starts, ends, axes and steps: attributes before opset 10, inputs from then on.
func sliceRanges(c *NodeCtx) ([]sliceRange, error) {
	in := c.In[0].Shape
	var lists [4][]int64
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		v, err := sliceList(c, i, name)
		if err != nil {
			return nil, err
		}
		lists[i] = v
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	if len(starts) != len(ends) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, badNode(c, "starts %v, ends %v, axes %v and steps %v differ in length", starts, ends, axes, steps)
	}
	out := make([]sliceRange, len(in))
	for i, d := range in {
		out[i] = sliceRange{0, 1, d}
	}
	seen := make([]bool, len(in))
	for i := range starts {
		axis, step := int64(i), int64(1)
		if axes != nil {
			axis = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		a, err := normAxis(c, axis, len(in))
		if err != nil {
			return nil, err
		}
		if seen[a] || step == 0 {
			return nil, badNode(c, "axes %v repeat, or a step of %v is 0", axes, steps)
		}
		seen[a] = true
		out[a] = newSliceRange(starts[i], ends[i], step, in[a])
	}
	return out, nil
}

// sliceList returns list i of Slice; nil when an optional one is absent.
func sliceList(c *NodeCtx, i int, name string) ([]int64, error) {
	if c.Node.Opset < 10 {
		v, ok := c.AttrInts(name)
		if !ok && i < 2 {
			return nil, badNode(c, "lacks attribute %s", name)
		}
		return v, nil
	}
	if i >= 2 && !c.Has(i+1) {
		return nil, nil
	}
	v, err := c.ConstInts(i + 1)
	if v == nil && err == nil {
		v = []int64{}
	}
	return v, err
}

// newSliceRange clamps as numpy does; ends beyond the dimension, INT64_MAX included, mean its end.
func newSliceRange(start, end, step int64, n int) sliceRange {
	size := int64(n)
	lo, hi := int64(0), size // bounds of start and end for a positive step
	if step < 0 {
		lo, hi = -1, size-1
	}
	fit := func(v int64) int64 {
		if v < 0 {
			v = max(v, math.MinInt64+size) + size
		}
		return min(max(v, lo), hi)
	}
	start, end = fit(start), fit(end)
	count := int64(0)
	switch {
	case step > 0 && end > start:
		count = (end-start-1)/step + 1
	case step < 0 && start > end:
		count = (start-end-1)/-max(step, -math.MaxInt64) + 1
	}
	if count <= 1 {
		step = 1 // a huge step must not overflow strides
	}
	return sliceRange{int(start), int(step), int(count)}
}

func inferSlice(c *NodeCtx) error {
	lo, hi := 3, 5
	if c.Node.Opset < 10 {
		lo, hi = 1, 1
	}
	if err := checkArity(c, lo, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	ranges, err := sliceRanges(c)
	if err != nil {
		return err
	}
	shape := make([]int, len(ranges))
	for i, r := range ranges {
		shape[i] = r.n
	}
	return out1(c, c.In[0].DType, shape)
}

func compileSlice(c *NodeCtx) (Kernel, error) {
	ranges, err := sliceRanges(c)
	if err != nil {
		return Kernel{}, err
	}
	v := strided{shape: c.Out[0].Shape, strides: make([]int, len(ranges))}
	for i, s := range rowStrides(c.In[0].Shape) {
		v.strides[i] = s * ranges[i].step
		v.base += s * ranges[i].start
	}
	return v.kernel(c), nil
}

// strided reads elements of a tensor at base + Σ index·strides: the common form of Slice, Pad and friends.
type strided struct {
	shape, strides []int
	base           int
}

func (v strided) kernel(c *NodeCtx) Kernel {
	v = v.merged()
	return bySize(c.In[0].DType, stridedKernel[uint8], stridedKernel[uint16], stridedKernel[uint32], stridedKernel[uint64])(v)
}

// merged joins dimensions that are contiguous with their successor.
func (v strided) merged() strided {
	out := strided{base: v.base}
	for i, d := range v.shape {
		n := len(out.shape)
		switch {
		case d == 1 && n > 0:
		case n > 0 && out.strides[n-1] == d*v.strides[i]:
			out.shape[n-1] *= d
			out.strides[n-1] = v.strides[i]
		default:
			out.shape, out.strides = append(out.shape, d), append(out.strides, v.strides[i])
		}
	}
	return out
}

func stridedKernel[T elem](v strided) Kernel {
	return run(func(f *Frame) { copyStrided(f.Pool, view[T](f.Out[0]), view[T](f.In[0]), v) })
}

// copyStrided fills dst with the elements that v selects, row by row.
func copyStrided[T elem](p *kernel.Pool, dst, src []T, v strided) {
	n, step := 1, 1
	outer, strides := v.shape, v.strides
	if len(outer) > 0 {
		n, step = outer[len(outer)-1], strides[len(strides)-1]
		outer, strides = outer[:len(outer)-1], strides[:len(strides)-1]
	}
	if len(dst) == 0 {
		return
	}
	rowTasks(p, len(dst)/n, n, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at := v.base
			for i, rest := len(outer)-1, r; i >= 0; i-- {
				at += rest % outer[i] * strides[i]
				rest /= outer[i]
			}
			copyRow(dst[r*n:][:n], src, at, step)
		}
	})
}

func copyRow[T elem](dst, src []T, at, step int) {
	if step == 1 {
		copy(dst, src[at:])
		return
	}
	for i := range dst {
		dst[i] = src[at+i*step]
	}
}

// sliceVJP puts the cotangent back where it was cut out, zeros around and between.
func sliceVJP(b *Backward) error {
	ranges, err := sliceRanges(b.NodeCtx)
	if err != nil || b.Out[0].Elems() == 0 {
		return err
	}
	g := b.G(0)
	before, after := make([]int, len(ranges)), make([]int, len(ranges))
	for axis, r := range ranges {
		if r.step < 0 {
			g = b.reverse(g, axis)
			r.start, r.step = r.start+(r.n-1)*r.step, -r.step
		}
		length := r.n
		if r.step > 1 {
			g = b.spread(g, axis, r.step)
			length *= r.step
		}
		before[axis], after[axis] = r.start, b.In[0].Shape[axis]-r.start-length
	}
	b.Give(0, b.pad(g, before, after))
	return nil
}

// spread puts step-1 zeros behind every element of an axis.
func (b *Backward) spread(x ValueID, axis, step int) ValueID {
	if b.err != nil {
		return x
	}
	s := b.Shape(x)
	single := append(append(append([]int{}, s[:axis+1]...), 1), s[axis+1:]...)
	joined := append([]int{}, s...)
	joined[axis] *= step
	return b.Reshape(b.padAxis(b.Reshape(x, single...), axis+1, 0, step-1), joined...)
}
