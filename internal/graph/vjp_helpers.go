package graph

import (
	"math"

	"winnow/internal/tensor"
)

// Shorthands for rules. All values but conditions have the floating type of the node unless said otherwise.

func (b *Backward) add(x, y ValueID) ValueID { return b.Op("Add", x, y) }

func (b *Backward) sub(x, y ValueID) ValueID { return b.Op("Sub", x, y) }

func (b *Backward) mul(x, y ValueID) ValueID { return b.Op("Mul", x, y) }

func (b *Backward) div(x, y ValueID) ValueID { return b.Op("Div", x, y) }

func (b *Backward) square(x ValueID) ValueID { return b.mul(x, x) }

// num is a number of the type of input 0.
func (b *Backward) num(v float64) ValueID { return b.Scalar(b.In[0].DType, v) }

// plus is x + v.
func (b *Backward) plus(x ValueID, v float64) ValueID { return b.add(x, b.num(v)) }

// oneMinus is 1 - x.
func (b *Backward) oneMinus(x ValueID) ValueID { return b.sub(b.num(1), x) }

func (b *Backward) where(cond, x, y ValueID) ValueID { return b.Op("Where", cond, x, y) }

// keepIf is x where cond holds and 0 elsewhere.
func (b *Backward) keepIf(cond, x ValueID) ValueID { return b.where(cond, x, b.num(0)) }

// dropIf is 0 where cond holds and x elsewhere.
func (b *Backward) dropIf(cond, x ValueID) ValueID { return b.where(cond, b.num(0), x) }

func (b *Backward) greater(x ValueID, v float64) ValueID { return b.Op("Greater", x, b.num(v)) }

func (b *Backward) less(x ValueID, v float64) ValueID { return b.Op("Less", x, b.num(v)) }

// cast converts to another type; nothing happens when x has it.
func (b *Backward) cast(x ValueID, to tensor.DType) ValueID {
	if b.err != nil || b.Type(x).DType == to {
		return x
	}
	return b.OpA("Cast", map[string]Attr{"to": IntAttr(int(to.ONNX()))}, x)
}

// indicator is 1 where cond holds and 0 elsewhere, in the type of input 0.
func (b *Backward) indicator(cond ValueID) ValueID { return b.cast(cond, b.In[0].DType) }

// fusable reports whether operators of Winnow's domain may be used for this node.
func (b *Backward) fusable() bool { return b.Fused && storage(b.In[0].DType) == tensor.F32 }

// sumAll adds up all elements; the result has no dimensions.
func (b *Backward) sumAll(x ValueID) ValueID {
	if b.err != nil {
		return x
	}
	return b.ReduceSum(x, false, upTo(0, len(b.Shape(x)))...)
}

// upTo lists lo … hi-1.
func upTo(lo, hi int) []int {
	var v []int
	for i := lo; i < hi; i++ {
		v = append(v, i)
	}
	return v
}

// pad puts zeros around x; negative counts crop.
func (b *Backward) pad(x ValueID, before, after []int) ValueID {
	idle := true
	for i := range before {
		idle = idle && before[i] == 0 && after[i] == 0
	}
	if idle || b.err != nil {
		return x
	}
	pads := append(append([]int{}, before...), after...)
	if b.OpsetVersion() < 11 {
		return b.OpA("Pad", map[string]Attr{"pads": IntsAttr(pads...)}, x)
	}
	return b.Op("Pad", x, b.Ints(pads...))
}

// padAxis is pad along one axis.
func (b *Backward) padAxis(x ValueID, axis, before, after int) ValueID {
	if b.err != nil {
		return x
	}
	lo, hi := make([]int, len(b.Shape(x))), make([]int, len(b.Shape(x)))
	lo[axis], hi[axis] = before, after
	return b.pad(x, lo, hi)
}

// reverse turns an axis round.
func (b *Backward) reverse(x ValueID, axis int) ValueID {
	return b.Op("Slice", x, b.Ints(-1), b.Ints(math.MinInt64), b.Ints(axis), b.Ints(-1))
}

// concat joins values along an axis.
func (b *Backward) concat(axis int, parts ...ValueID) ValueID {
	if len(parts) == 1 {
		return parts[0]
	}
	return b.OpA("Concat", map[string]Attr{"axis": IntAttr(axis)}, parts...)
}

// broadcastLike gives a value the shape of input 0, to which it must broadcast.
func (b *Backward) broadcastLike(x ValueID) ValueID { return b.Expand(x, b.In[0].Shape...) }

// elementwise makes a rule of the gradient of an operator's only differentiable input.
func elementwise(grad func(b *Backward) ValueID) func(b *Backward) error {
	if grad == nil {
		return nil
	}
	return func(b *Backward) error {
		b.Give(0, grad(b))
		return nil
	}
}

// constLike is a constant of float64 numbers in the type of input 0.
func (b *Backward) constLike(t tensor.Tensor) ValueID {
	dt := b.In[0].DType
	if dt == tensor.F64 {
		return b.Const(t)
	}
	narrow := tensor.New(tensor.F32, t.Shape...)
	for i, v := range t.F64() {
		narrow.F32()[i] = float32(v)
	}
	return b.Const(narrowed(narrow, Type{dt, t.Shape}))
}

// alongAxis multiplies every line of x along an axis by the matrix m [n, k]: the axis has k elements before and n
// afterwards.
func (b *Backward) alongAxis(m, x ValueID, axis int) ValueID {
	if b.err != nil {
		return x
	}
	s := b.Shape(x)
	n := b.Shape(m)[0]
	outer, k, inner := splitAt(s, axis)
	shape := append([]int{}, s...)
	shape[axis] = n
	if inner == 1 {
		return b.Reshape(b.Op("MatMul", b.Reshape(x, outer, k), b.TransposeLast(m)), shape...)
	}
	return b.Reshape(b.Op("MatMul", m, b.Reshape(x, outer, k, inner)), shape...)
}
