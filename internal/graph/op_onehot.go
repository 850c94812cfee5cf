package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "OneHot", Since: 9, Infer: inferOneHot, Compile: compileOneHot, VJP: oneHotVJP})
	Register(Operator{Name: "ReverseSequence", Since: 10, Infer: inferReverseSequence, Compile: compileReverseSequence, VJP: elementwise(reverseSequenceGrad)})
}

func oneHotDepth(c *NodeCtx) (int, error) {
	v, ok := c.ConstScalar(1)
	if !ok {
		if _, err := c.constant(1); err != nil {
			return 0, err
		}
		return 0, badInput(c, 1, "is %v, want one number", c.In[1].Type)
	}
	if !(v >= 0 && v <= maxElems) {
		return 0, badInput(c, 1, "depth %v is out of range", v)
	}
	return int(v), nil
}

func inferOneHot(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkClass(c, 2, classFixed); err != nil {
		return err
	}
	if c.In[2].Elems() != 2 {
		return badInput(c, 2, "has shape %v, want the two values off and on", c.In[2].Shape)
	}
	depth, err := oneHotDepth(c)
	if err != nil {
		return err
	}
	in := c.In[0].Shape
	axis, err := normAxis(c, c.AttrInt("axis", -1), len(in)+1)
	if err != nil {
		return err
	}
	shape := append(append([]int{}, in[:axis]...), depth)
	return out1(c, c.In[2].DType, append(shape, in[axis:]...))
}

// compileOneHot reads the indices as float64, which holds every depth exactly; indices outside [-depth, depth) give a
// line of the off value.
func compileOneHot(c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", -1), len(c.In[0].Shape)+1)
	if err != nil {
		return Kernel{}, err
	}
	read := numbersReader(c.In[0].DType)
	depth, inner := c.Out[0].Shape[axis], numElems(c.In[0].Shape[axis:])
	size := storage(c.In[2].DType).Size()
	return run(func(f *Frame) {
		dst, off, on := f.Out[0].Data, f.In[2].Data[:size], f.In[2].Data[size:]
		fillBytes(dst, off)
		for i, v := range read(f.In[0]) {
			if v < 0 {
				v += float64(depth)
			}
			if v >= 0 && v < float64(depth) {
				at := (i/inner*depth+int(v))*inner + i%inner
				copy(dst[at*size:], on)
			}
		}
	}), nil
}

// numbersReader returns a function that reads a tensor of the given type as float64.
func numbersReader(dt tensor.DType) func(t tensor.Tensor) []float64 {
	if dt.IsSmall() {
		return smallReader(dt)
	}
	switch storage(dt) {
	case tensor.F32:
		return toFloat64s[float32]
	case tensor.F64:
		return toFloat64s[float64]
	case tensor.I8:
		return toFloat64s[int8]
	case tensor.I16:
		return toFloat64s[int16]
	case tensor.I32:
		return toFloat64s[int32]
	case tensor.I64:
		return toFloat64s[int64]
	case tensor.U8, tensor.Bool:
		return toFloat64s[uint8]
	case tensor.U16:
		return toFloat64s[uint16]
	case tensor.U32:
		return toFloat64s[uint32]
	}
	return toFloat64s[uint64]
}

func toFloat64s[T number](t tensor.Tensor) []float64 {
	src := view[T](t)
	out := make([]float64, len(src))
	for i, v := range src {
		out[i] = float64(v)
	}
	return out
}

// sequenceAxes returns batch and time axes of ReverseSequence, which must be 0 and 1 in some order.
func sequenceAxes(c *NodeCtx) (batch, time int, err error) {
	b, t := c.AttrInt("batch_axis", 1), c.AttrInt("time_axis", 0)
	if b == t || min(b, t) != 0 || max(b, t) != 1 {
		return 0, 0, badNode(c, "batch_axis %d and time_axis %d must be 0 and 1", b, t)
	}
	return int(b), int(t), nil
}

func inferReverseSequence(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, maxRank); err != nil {
		return err
	}
	b, _, err := sequenceAxes(c)
	if err != nil {
		return err
	}
	if c.In[1].DType != tensor.I64 {
		return badInput(c, 1, "has type %v, want int64", c.In[1].DType)
	}
	if err := checkShape(c, 1, c.In[0].Shape[b]); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileReverseSequence(c *NodeCtx) (Kernel, error) {
	b, t, err := sequenceAxes(c)
	if err != nil {
		return Kernel{}, err
	}
	shape := c.In[0].Shape
	str := rowStrides(shape)
	size := storage(c.In[0].DType).Size()
	run := numElems(shape[2:]) * size
	return Kernel{Run: func(f *Frame) error {
		lengths := view[int64](f.In[1])
		for i := range shape[b] {
			n := lengths[i]
			if n < 0 || n > int64(shape[t]) {
				return fmt.Errorf("length %d of sequence %d is outside [0, %d]", n, i, shape[t])
			}
			for k := range shape[t] {
				from := k
				if k < int(n) {
					from = int(n) - 1 - k
				}
				dst := (i*str[b] + k*str[t]) * size
				src := (i*str[b] + from*str[t]) * size
				copy(f.Out[0].Data[dst:][:run], f.In[0].Data[src:])
			}
		}
		return nil
	}}, nil
}

// oneHotVJP: the two values get the sums over where they stand.
func oneHotVJP(b *Backward) error {
	var sums []ValueID
	for _, marks := range [][2]float64{{1, 0}, {0, 1}} {
		values := b.concat(0, b.vector(marks[0]), b.vector(marks[1]))
		mask := b.OpA("OneHot", b.Node.Attrs, b.X(0), b.X(1), values)
		sums = append(sums, b.Reshape(b.sumAll(b.mul(b.G(0), mask)), 1))
	}
	b.Give(2, b.Reshape(b.concat(0, sums...), b.In[2].Shape...))
	return nil
}

// vector is one number of the result's type as a list.
func (b *Backward) vector(v float64) ValueID { return b.Reshape(b.Scalar(b.Out[0].DType, v), 1) }

// reverseSequenceGrad turns the same sequences round again.
func reverseSequenceGrad(b *Backward) ValueID {
	return b.OpA("ReverseSequence", b.Node.Attrs, b.G(0), b.X(1))
}
