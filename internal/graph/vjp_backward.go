package graph

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
)

// Backward is what the VJP of an operator sees: one node of the forward pass (attributes, types and known constants by
// NodeCtx), the cotangents of its outputs, and a builder for nodes of the reverse pass. The first error is kept and ends
// the differentiation, so that calls can be chained without checks.
//
// A rule reads X, Y and G, adds nodes, and hands the result to Give. All values of one node share a floating type unless
// the operator says otherwise. Example, y = a·b elementwise:
//
//	b.Give(0, b.Op("Mul", b.G(0), b.X(1)))
//	b.Give(1, b.Op("Mul", b.G(0), b.X(0)))
type Backward struct {
	*NodeCtx
	// Fused allows operators of Winnow's own domain in the reverse pass. Without it only ordinary ONNX operators may be
	// used, because the graph is written for another executor.
	Fused bool

	p     *ir
	n     *irNode
	cot   []ValueID
	grads [][]ValueID
	needs []bool
	err   error
}

// X is input i of the node, None when it is absent.
func (b *Backward) X(i int) ValueID { return b.n.in(i) }

// Y is output i of the node, None when the node does not have it.
func (b *Backward) Y(i int) ValueID {
	if i < len(b.n.Outputs) {
		return b.n.Outputs[i]
	}
	return None
}

// G is the cotangent of output i, None when it is zero.
func (b *Backward) G(i int) ValueID {
	if i < len(b.cot) {
		return b.cot[i]
	}
	return None
}

// Needs reports whether the gradient of input i is wanted. Rules skip the work for inputs that are not.
func (b *Backward) Needs(i int) bool { return i < len(b.needs) && b.needs[i] }

// Give contributes g to the cotangent of input i. A g with broadcast dimensions is summed down to the input's shape;
// None contributes nothing. Inputs whose gradient is not wanted are passed over.
func (b *Backward) Give(i int, g ValueID) {
	if g == None || !b.Needs(i) || b.err != nil {
		return
	}
	g = b.SumTo(g, b.In[i].Shape)
	if b.err != nil {
		return
	}
	if got, want := b.Type(g), b.In[i].Type; !got.Equal(want) {
		b.fail(fmt.Errorf("%s: internal fault: the gradient of input %d is %v, want %v", b.n.Label(), i, got, want))
		return
	}
	b.grads[i] = append(b.grads[i], g)
}

// AddOutput gives the forward node one more output, for operators that keep something for the reverse pass.
func (b *Backward) AddOutput(t Type) ValueID {
	id := b.p.addValue(irValue{name: fmt.Sprintf("%s/kept", b.p.val(b.n.Outputs[0]).name), typ: t, def: b.n, input: -1})
	b.n.Outputs = append(slices.Clone(b.n.Outputs), id)
	return id
}

// Type is the static type of a value.
func (b *Backward) Type(id ValueID) Type { return b.p.val(id).typ }

// Shape is the shape of a value. It must not be changed.
func (b *Backward) Shape(id ValueID) []int { return b.p.val(id).typ.Shape }

// Known returns the contents of a value that is constant, nil otherwise.
func (b *Backward) Known(id ValueID) *tensor.Tensor { return b.p.val(id).konst }

// OpsetVersion is the version of the standard domain that nodes of the reverse pass have.
func (b *Backward) OpsetVersion() int { return b.p.opsetOf(b.n, "") }

func (b *Backward) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Op adds a node with one output and no attributes. An operator of another domain is written "domain.Op".
func (b *Backward) Op(op string, inputs ...ValueID) ValueID { return b.OpA(op, nil, inputs...) }

// OpA is Op with attributes.
func (b *Backward) OpA(op string, attrs map[string]Attr, inputs ...ValueID) ValueID {
	return b.OpN(op, attrs, 1, inputs...)[0]
}

// OpN adds a node with n outputs.
func (b *Backward) OpN(op string, attrs map[string]Attr, n int, inputs ...ValueID) []ValueID {
	outs := slices.Repeat([]ValueID{None}, n)
	if b.err != nil {
		return outs
	}
	m, err := b.p.node(b.n, spec{op: op, attrs: attrs, inputs: inputs})
	if err != nil {
		b.fail(err)
		return outs
	}
	m.back, m.Outputs = true, outs
	types, err := b.p.infer(m)
	if err != nil {
		b.fail(fmt.Errorf("reverse pass of %s: %w", b.n.Label(), err))
		return outs
	}
	for i := range outs {
		outs[i] = b.p.addValue(irValue{name: fmt.Sprintf("vjp/%s_%d", m.Op, len(b.p.vals)), typ: types[i], def: m, input: -1})
	}
	b.p.nodes = append(b.p.nodes, m)
	return outs
}

// Scalar is a constant without dimensions of the given type.
func (b *Backward) Scalar(dt tensor.DType, v float64) ValueID {
	var t tensor.Tensor
	if dt == tensor.F64 {
		t = tensor.New(tensor.F64)
		t.F64()[0] = v
	} else {
		t = narrowed(tensor.FromF32([]float32{float32(v)}), Type{DType: dt})
	}
	return b.p.addConst(fmt.Sprint(v), t)
}

// Ints is a constant vector of int64.
func (b *Backward) Ints(v ...int) ValueID { return b.p.constInts("", v) }

// Const is a constant tensor.
func (b *Backward) Const(t tensor.Tensor) ValueID { return b.p.addConst("", t) }

// Zeros is a value of zeros.
func (b *Backward) Zeros(t Type) ValueID {
	z := zeros(t)
	return b.p.addValue(irValue{name: "zeros", typ: t, konst: &z, input: -1, folded: true})
}

// Sum adds values of equal type; without any it is None.
func (b *Backward) Sum(ids ...ValueID) ValueID {
	total := None
	for _, id := range ids {
		switch {
		case id == None:
		case total == None:
			total = id
		default:
			total = b.Op("Add", total, id)
		}
	}
	return total
}

// Scale multiplies by a number.
func (b *Backward) Scale(x ValueID, v float64) ValueID {
	if v == 1 || b.err != nil {
		return x
	}
	return b.Op("Mul", x, b.Scalar(b.Type(x).DType, v))
}

// Reshape gives a value another shape with as many elements.
func (b *Backward) Reshape(x ValueID, shape ...int) ValueID {
	if b.err != nil || slices.Equal(b.Shape(x), shape) {
		return x
	}
	attrs := map[string]Attr{}
	if slices.Contains(shape, 0) { // a zero would stand for "as the input"
		attrs["allowzero"] = IntAttr(1)
	}
	return b.OpA("Reshape", attrs, x, b.Ints(shape...))
}

// Transpose permutes the axes.
func (b *Backward) Transpose(x ValueID, perm ...int) ValueID {
	if b.err != nil || slices.IsSorted(perm) {
		return x
	}
	return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(perm...)}, x)
}

// TransposeLast exchanges the last two axes.
func (b *Backward) TransposeLast(x ValueID) ValueID {
	if b.err != nil {
		return x
	}
	perm := make([]int, len(b.Shape(x)))
	for i := range perm {
		perm[i] = i
	}
	r := len(perm)
	perm[r-1], perm[r-2] = perm[r-2], perm[r-1]
	return b.Transpose(x, perm...)
}

// Expand broadcasts a value to a shape.
func (b *Backward) Expand(x ValueID, shape ...int) ValueID {
	if b.err != nil || slices.Equal(b.Shape(x), shape) {
		return x
	}
	return b.Op("Expand", x, b.Ints(shape...))
}

// ReduceSum adds up along axes, which stay as dimensions of size 1 when keep is set.
func (b *Backward) ReduceSum(x ValueID, keep bool, axes ...int) ValueID {
	return b.reduce("ReduceSum", 13, x, keep, axes)
}

// ReduceMean averages along axes, which stay as dimensions of size 1 when keep is set.
func (b *Backward) ReduceMean(x ValueID, keep bool, axes ...int) ValueID {
	return b.reduce("ReduceMean", 18, x, keep, axes)
}

// reduce writes a reduction; the axes are an input from opset since on, an attribute before.
func (b *Backward) reduce(op string, since int, x ValueID, keep bool, axes []int) ValueID {
	if b.err != nil || len(axes) == 0 {
		return x
	}
	attrs := map[string]Attr{"keepdims": IntAttr(0)}
	if keep {
		attrs["keepdims"] = IntAttr(1)
	}
	if b.OpsetVersion() >= since {
		return b.OpA(op, attrs, x, b.Ints(axes...))
	}
	attrs["axes"] = IntsAttr(axes...)
	return b.OpA(op, attrs, x)
}

// SumTo undoes a broadcast: it adds g up to the given shape, from which g's shape came by broadcasting.
func (b *Backward) SumTo(g ValueID, shape []int) ValueID {
	if b.err != nil || slices.Equal(b.Shape(g), shape) {
		return g
	}
	from := b.Shape(g)
	lead := len(from) - len(shape)
	var axes []int
	for i, d := range from {
		if i < lead || shape[i-lead] == 1 && d != 1 {
			axes = append(axes, i)
		}
	}
	return b.Reshape(b.ReduceSum(g, true, axes...), shape...)
}

// Slice cuts a range out of one axis.
func (b *Backward) Slice(x ValueID, axis, start, end int) ValueID {
	if b.OpsetVersion() < 10 {
		attrs := map[string]Attr{"axes": IntsAttr(axis), "starts": IntsAttr(start), "ends": IntsAttr(end)}
		return b.OpA("Slice", attrs, x)
	}
	return b.Op("Slice", x, b.Ints(start), b.Ints(end), b.Ints(axis))
}
