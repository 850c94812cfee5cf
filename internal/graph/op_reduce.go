package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// reduction is one member of the Reduce family.
type reduction struct {
	name  string
	types class
	// axesSince is the opset from which axes are an input.
	axesSince int
	grad      func(b *Backward, r *reduced) ValueID // gradient of the input
}

var reductions = []reduction{
	{"ReduceMean", classNumber, 18, reduceMeanGrad},
	{"ReduceSum", classNumber, 13, reduceSumGrad},
	{"ReduceSumSquare", classNumber, 18, reduceSumSquareGrad},
	{"ReduceL1", classNumber, 18, reduceL1Grad},
	{"ReduceL2", classNumber, 18, reduceL2Grad},
	{"ReduceLogSum", classFloat, 18, reduceLogSumGrad},
	{"ReduceLogSumExp", classFloat, 18, reduceLogSumExpGrad},
	{"ReduceProd", classNumber, 18, reduceProdGrad},
	{"ReduceMax", classFixed, 18, reduceExtremeGrad},
	{"ReduceMin", classFixed, 18, reduceExtremeGrad},
}

func init() {
	for _, r := range reductions {
		Register(Operator{
			Name: r.name, Since: 1,
			Infer: func(c *NodeCtx) error {
				_, err := reduceAxes(c, r)
				return err
			},
			Compile: func(c *NodeCtx) (Kernel, error) { return compileReduce(c, r) },
			VJP:     func(b *Backward) error { return reduceVJP(b, r) },
		})
	}
}

// reduceAxes checks the node, sets its type and returns the membership table of reduced axes; nil means identity
// (noop_with_empty_axes).
func reduceAxes(c *NodeCtx, r reduction) ([]bool, error) {
	hi := 1
	if c.Node.Opset >= r.axesSince {
		hi = 2
	}
	if err := checkArity(c, 1, hi, 1, 1); err != nil {
		return nil, err
	}
	if err := checkClass(c, 0, r.types); err != nil {
		return nil, err
	}
	in := c.In[0].Shape
	axes, given, err := axesOf(c, 1, r.axesSince)
	if err != nil {
		return nil, err
	}
	if len(axes) == 0 && hi == 2 && c.AttrInt("noop_with_empty_axes", 0) != 0 {
		return nil, out1(c, c.In[0].DType, in)
	}
	over, err := normAxes(c, axes, len(in))
	if err != nil {
		return nil, err
	}
	if !given || len(axes) == 0 {
		for i := range over {
			over[i] = true
		}
	}
	keep, shape := c.AttrInt("keepdims", 1) != 0, []int{}
	for i, d := range in {
		switch {
		case !over[i]:
			shape = append(shape, d)
		case keep:
			shape = append(shape, 1)
		}
	}
	return over, out1(c, c.In[0].DType, shape)
}

// lines describes a reduction as lines of n elements: merged dimensions that are kept, and merged ones that are reduced.
type lines struct {
	keep, keepStr, over, overStr []int
	count, n                     int // number of lines, length of each
}

func newLines(shape []int, over []bool) *lines {
	l := &lines{count: 1, n: 1}
	str := rowStrides(shape)
	for i, d := range shape {
		dims, strs := &l.keep, &l.keepStr
		if over[i] {
			dims, strs = &l.over, &l.overStr
			l.n *= d
		} else {
			l.count *= d
		}
		if k := len(*dims); k > 0 && i > 0 && over[i-1] == over[i] {
			(*dims)[k-1] *= d
			(*strs)[k-1] = str[i]
			continue
		}
		*dims, *strs = append(*dims, d), append(*strs, str[i])
	}
	return l
}

// base is the offset of line i.
func (l *lines) base(i int) int { return offsetOf(i, l.keep, l.keepStr) }

func offsetOf(i int, dims, strides []int) int {
	at := 0
	for d := len(dims) - 1; d >= 0; d-- {
		at += i % dims[d] * strides[d]
		i /= dims[d]
	}
	return at
}

// segments calls f for every constant-stride run of line i.
func (l *lines) segments(i int, f func(at, n, step int)) {
	base, last := l.base(i), len(l.over)-1
	if l.n == 0 {
		return
	}
	if last < 0 {
		f(base, 1, 1)
		return
	}
	for o := range l.n / l.over[last] {
		f(base+offsetOf(o, l.over[:last], l.overStr[:last]), l.over[last], l.overStr[last])
	}
}

func compileReduce(c *NodeCtx, r reduction) (Kernel, error) {
	over, err := reduceAxes(c, r)
	if err != nil {
		return Kernel{}, err
	}
	if over == nil {
		over = make([]bool, len(c.In[0].Shape)) // every element is a line of its own
	}
	l := newLines(c.In[0].Shape, over)
	switch storage(c.In[0].DType) {
	case tensor.F32:
		if contiguous := len(l.over) == 1 && l.overStr[0] == 1; contiguous && (r.name == "ReduceMean" || r.name == "ReduceSum") {
			return sumRows(l, r.name == "ReduceMean"), nil
		}
		return reduceFloat[float32](l, r.name), nil
	case tensor.F64:
		return reduceFloat[float64](l, r.name), nil
	case tensor.I8:
		return reduceInt[int8](l, r.name), nil
	case tensor.I16:
		return reduceInt[int16](l, r.name), nil
	case tensor.I32:
		return reduceInt[int32](l, r.name), nil
	case tensor.I64:
		return reduceInt[int64](l, r.name), nil
	case tensor.U16:
		return reduceInt[uint16](l, r.name), nil
	case tensor.U32:
		return reduceInt[uint32](l, r.name), nil
	case tensor.U64:
		return reduceInt[uint64](l, r.name), nil
	}
	k := reduceInt[uint8](l, r.name) // U8, and Bool as its byte
	if c.In[0].DType == tensor.Bool && l.n == 0 && r.name == "ReduceMin" {
		k = run(func(f *Frame) { fillBytes(f.Out[0].Data, []byte{1}) })
	}
	return k, nil
}

// sumRows reduces contiguous lines with the vector loop.
func sumRows(l *lines, mean bool) Kernel {
	scale := 1.0
	if mean {
		scale = 1 / float64(l.n)
	}
	return run(func(f *Frame) {
		dst, src := view[float32](f.Out[0]), view[float32](f.In[0])
		rowTasks(f.Pool, l.count, l.n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				dst[i] = float32(kernel.Sum(src[l.base(i):][:l.n]) * scale)
			}
		})
	})
}

// reduceFloat accumulates in float64.
func reduceFloat[T float](l *lines, name string) Kernel {
	start, step := floatStep(name)
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, l.count, l.n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				shift := 0.0
				if name == "ReduceLogSumExp" {
					shift = finiteMax(l, src, i)
				}
				acc := start
				l.segments(i, func(at, n, stride int) {
					for k := range n {
						acc = step(acc, float64(src[at+k*stride])-shift)
					}
				})
				dst[i] = T(floatFinish(name, acc, shift, l.n))
			}
		})
	})
}

// finiteMax is the largest element of line i, 0 when that is infinite: the shift of a stable log-sum-exp.
func finiteMax[T float](l *lines, src []T, i int) float64 {
	m := math.Inf(-1)
	l.segments(i, func(at, n, stride int) {
		for k := range n {
			m = math.Max(m, float64(src[at+k*stride]))
		}
	})
	if math.IsInf(m, 0) {
		return 0
	}
	return m
}

func floatStep(name string) (start float64, step func(acc, x float64) float64) {
	switch name {
	case "ReduceProd":
		return 1, func(acc, x float64) float64 { return acc * x }
	case "ReduceMax":
		return math.Inf(-1), math.Max
	case "ReduceMin":
		return math.Inf(1), math.Min
	case "ReduceSumSquare", "ReduceL2":
		return 0, func(acc, x float64) float64 { return acc + x*x }
	case "ReduceL1":
		return 0, func(acc, x float64) float64 { return acc + math.Abs(x) }
	case "ReduceLogSumExp":
		return 0, func(acc, x float64) float64 { return acc + math.Exp(x) }
	}
	return 0, func(acc, x float64) float64 { return acc + x }
}

func floatFinish(name string, acc, shift float64, n int) float64 {
	switch name {
	case "ReduceMean":
		return acc / float64(n)
	case "ReduceL2":
		return math.Sqrt(acc)
	case "ReduceLogSum":
		return math.Log(acc)
	case "ReduceLogSumExp":
		return math.Log(acc) + shift
	}
	return acc
}

// reduceInt works in the element type, wrapping as integer arithmetic does; L2 rounds its root towards zero.
func reduceInt[T integer](l *lines, name string) Kernel {
	start, step := intStep[T](name)
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		for i := range l.count {
			acc := start
			l.segments(i, func(at, n, stride int) {
				for k := range n {
					acc = step(acc, src[at+k*stride])
				}
			})
			switch {
			case name == "ReduceMean" && l.n > 0:
				acc = T(int64(acc) / int64(l.n))
			case name == "ReduceL2":
				acc = T(math.Sqrt(float64(acc)))
			}
			dst[i] = acc
		}
	})
}

func intStep[T integer](name string) (start T, step func(acc, x T) T) {
	switch name {
	case "ReduceProd":
		return 1, func(acc, x T) T { return acc * x }
	case "ReduceMax":
		return leastInt[T](), func(acc, x T) T { return max(acc, x) }
	case "ReduceMin":
		return ^leastInt[T](), func(acc, x T) T { return min(acc, x) }
	case "ReduceSumSquare", "ReduceL2":
		return 0, func(acc, x T) T { return acc + x*x }
	case "ReduceL1":
		return 0, func(acc, x T) T {
			if x < 0 {
				return acc - x
			}
			return acc + x
		}
	}
	return 0, func(acc, x T) T { return acc + x }
}

// leastInt is the smallest number of T: the result of a maximum over nothing.
func leastInt[T integer]() T {
	minusOne := ^T(0)
	if minusOne > 0 {
		return 0
	}
	v := T(1)
	for v > 0 {
		v *= 2
	}
	return v
}
