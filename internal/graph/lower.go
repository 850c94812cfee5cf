package graph

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
)

// Lowering expands one node into operators of the standard domain while a graph is specialised. The expansion is folded,
// merged and fused like nodes of the file, and is all that later stages see: gradients and the ONNX writer need no rule for
// a lowered operator.
//
// The first error is kept and every later call does nothing, so that an expansion reads as a formula. Operand types, shapes
// and attributes come from the embedded NodeCtx.
type Lowering struct {
	*NodeCtx
	s   *specializer
	ids []ValueID // operands by input
	out []ValueID // results by output
	err error
}

// lower runs an operator's expansion and defines the node's outputs.
func (s *specializer) lower(sc *scope, n *Node, m *irNode) error {
	m.Outputs = n.Outputs
	l := &Lowering{NodeCtx: s.context(m), s: s, ids: m.Inputs, out: make([]ValueID, len(n.Outputs))}
	for i := range l.out {
		l.out[i] = None
	}
	if err := l.expand(m); err != nil {
		return err
	}
	for i, id := range l.out {
		if id == None && n.Outputs[i] != None {
			return l.Refuse("", fmt.Sprintf("output %d", i))
		}
		if id == None {
			continue
		}
		if err := s.define(sc, n, i, id); err != nil {
			return err
		}
	}
	return nil
}

// expand calls the operator. A panic is a defect of ours and becomes an error, as in infer.
func (l *Lowering) expand(m *irNode) (err error) {
	defer l.s.recoverInto(m, &err)
	if err := m.op.Lower(l); err != nil {
		return err
	}
	return l.err
}

// Err is the first error of the calls so far.
func (l *Lowering) Err() error { return l.err }

// Arg returns operand i, None when it is absent.
func (l *Lowering) Arg(i int) ValueID {
	if l.Has(i) {
		return l.ids[i]
	}
	return None
}

// Wants reports whether output i is read.
func (l *Lowering) Wants(i int) bool { return i < len(l.Node.Outputs) && l.Node.Outputs[i] != None }

// Result sets output i.
func (l *Lowering) Result(i int, id ValueID) {
	if i < len(l.out) {
		l.out[i] = id
	}
}

// TypeOf returns the type of a value, the zero Type for None.
func (l *Lowering) TypeOf(id ValueID) Type {
	if id == None {
		return Type{}
	}
	return l.s.val(id).typ
}

// Op adds a node with one output and no attributes.
func (l *Lowering) Op(op string, inputs ...ValueID) ValueID { return l.OpN(op, nil, 1, inputs...)[0] }

// OpA is Op with attributes.
func (l *Lowering) OpA(op string, attrs map[string]Attr, inputs ...ValueID) ValueID {
	return l.OpN(op, attrs, 1, inputs...)[0]
}

// OpN adds a node with n outputs.
func (l *Lowering) OpN(op string, attrs map[string]Attr, n int, inputs ...ValueID) []ValueID {
	none := make([]ValueID, n)
	for i := range none {
		none[i] = None
	}
	if l.err != nil {
		return none
	}
	m, err := l.s.node(&irNode{Node: *l.Node}, spec{op: op, opset: l.opset(), attrs: attrs, inputs: slices.Clone(inputs)})
	if err == nil {
		var ids []ValueID
		if ids, err = l.s.enter(m, n); err == nil {
			return slices.Clone(ids) // callers may change their lists, the node keeps its own
		}
	}
	l.err = err
	return none
}

// Ints enters a constant vector of int64.
func (l *Lowering) Ints(v ...int) ValueID {
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(x)
	}
	return l.Const(tensor.FromI64(ints, len(ints)))
}

// Const enters a constant.
func (l *Lowering) Const(t tensor.Tensor) ValueID { return l.s.enterConst("", t) }

// Computed enters float32 numbers that the expansion made, as a constant of type dt that is stored alike. Their memory goes
// as soon as a kernel has packed them.
func (l *Lowering) Computed(t tensor.Tensor, dt tensor.DType) ValueID {
	return l.s.addValue(irValue{typ: Type{dt, t.Shape}, konst: &t, input: -1, folded: true})
}

// Floats enters a constant of a floating type; no shape makes a scalar.
func (l *Lowering) Floats(dt tensor.DType, v []float32, shape ...int) ValueID {
	if dt == tensor.F64 {
		wide := make([]float64, len(v))
		for i, x := range v {
			wide[i] = float64(x)
		}
		return l.Const(tensor.FromF64(wide, shape...))
	}
	return l.As(l.Const(tensor.FromF32(v, shape...)), dt)
}

// As converts a value to another element type. Constants of types that are stored alike change their nominal type only:
// nothing is rounded.
func (l *Lowering) As(id ValueID, dt tensor.DType) ValueID {
	if id == None || l.err != nil || l.TypeOf(id).DType == dt {
		return id
	}
	if v := *l.s.val(id); v.konst != nil && v.typ.Storage() == tensor.F32 && storage(dt) == tensor.F32 {
		return l.s.retyped(id, dt)
	}
	return l.OpA("Cast", map[string]Attr{"to": IntAttr(int(dt.ONNX()))}, id)
}

// retyped enters a constant again under another nominal type that is stored alike.
func (s *specializer) retyped(id ValueID, dt tensor.DType) ValueID {
	v := s.vals[id]
	return s.addValue(irValue{name: v.name, typ: Type{dt, v.typ.Shape}, konst: v.konst, input: -1})
}

// Reshape gives a value another shape.
func (l *Lowering) Reshape(id ValueID, shape ...int) ValueID {
	if equalShape(l.TypeOf(id).Shape, shape) {
		return id
	}
	var attrs map[string]Attr
	if slices.Contains(shape, 0) && l.opset() >= 14 { // else 0 copies a size
		attrs = map[string]Attr{"allowzero": IntAttr(1)}
	}
	return l.OpA("Reshape", attrs, id, l.Ints(shape...))
}

// Transpose permutes the axes of a value.
func (l *Lowering) Transpose(id ValueID, perm ...int) ValueID {
	return l.OpA("Transpose", map[string]Attr{"perm": IntsAttr(perm...)}, id)
}

// Split cuts a value along an axis into parts of the given sizes.
func (l *Lowering) Split(id ValueID, axis int, sizes ...int) []ValueID {
	if len(sizes) == 1 {
		return []ValueID{id}
	}
	return l.OpN("Split", map[string]Attr{"axis": IntAttr(axis)}, len(sizes), id, l.Ints(sizes...))
}

// AddAll sums the values that are present, from left to right.
func (l *Lowering) AddAll(ids ...ValueID) ValueID {
	sum := None
	for _, id := range ids {
		switch {
		case id == None:
		case sum == None:
			sum = id
		default:
			sum = l.Op("Add", sum, id)
		}
	}
	return sum
}
