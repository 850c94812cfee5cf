package graph

import "winnow/internal/tensor"

// An optional that holds something is what it holds, so these operators pass their operand on or answer a question.

func init() {
	Register(Operator{Name: "Optional", Since: 15, Containers: true, Lower: lowerOptional})
	Register(Operator{Name: "OptionalHasElement", Since: 15, Containers: true, Lower: lowerOptionalHasElement})
	Register(Operator{Name: "OptionalGetElement", Since: 15, Containers: true, Lower: lowerOptionalGetElement})
}

// lowerOptional makes an optional of its operand, or without one an optional that holds nothing, whose attribute type says
// what it might have held.
func lowerOptional(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 0, 1, 1, 1); err != nil {
		return err
	}
	if l.Has(0) {
		l.Result(0, l.Arg(0))
		return nil
	}
	a, ok := l.Attr("type")
	if !ok || a.Kind != AttrType || a.Type == nil {
		return badNode(l.NodeCtx, "has neither a value nor the attribute type")
	}
	l.Result(0, l.s.addList(list{dtype: a.Type.DType, absent: true}))
	return nil
}

func lowerOptionalHasElement(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 0, 1, 1, 1); err != nil {
		return err
	}
	v := l.s.lists[l.Arg(0)]
	l.Result(0, l.Const(tensor.FromBool([]bool{l.Has(0) && (v == nil || !v.absent)})))
	return nil
}

func lowerOptionalGetElement(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	if v := l.s.lists[l.Arg(0)]; v != nil && v.absent {
		return badInput(l.NodeCtx, 0, "is %v", v)
	}
	l.Result(0, l.Arg(0))
	return nil
}
