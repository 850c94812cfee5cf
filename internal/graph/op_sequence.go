package graph

import (
	"math"
	"slices"

	"winnow/internal/tensor"
)

// The operators on sequences rearrange lists of values while the graph is specialised; positions must be known then.

func init() {
	for name, lower := range map[string]func(l *Lowering) error{
		"SequenceConstruct": lowerSequenceConstruct, "SequenceEmpty": lowerSequenceEmpty, "SequenceInsert": lowerSequenceInsert,
		"SequenceErase": lowerSequenceErase, "SequenceAt": lowerSequenceAt, "SequenceLength": lowerSequenceLength,
		"ConcatFromSequence": lowerConcatFromSequence,
	} {
		Register(Operator{Name: name, Since: 11, Containers: true, Lower: lower})
	}
}

func lowerSequenceConstruct(l *Lowering) error {
	if err := checkArity(l.NodeCtx, max(1, len(l.In)), math.MaxInt, 1, 1); err != nil {
		return err
	}
	return l.resultSequence(l.In[0].DType, slices.Clone(l.ids))
}

func lowerSequenceEmpty(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 0, 0, 1, 1); err != nil {
		return err
	}
	code := l.AttrInt("dtype", int64(tensor.F32.ONNX()))
	dt := tensor.Invalid
	if code == int64(int32(code)) {
		dt = tensor.FromONNX(int32(code))
	}
	if dt == tensor.Invalid {
		return l.Refuse("dtype", "not a known element type")
	}
	return l.resultSequence(dt, nil)
}

func lowerSequenceInsert(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	seq, err := l.sequence(0)
	if err != nil {
		return err
	}
	n := len(seq.elems)
	at, err := l.position(2, n, n)
	if err != nil {
		return err
	}
	return l.resultSequence(seq.dtype, slices.Insert(slices.Clone(seq.elems), at, l.Arg(1)))
}

func lowerSequenceErase(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 2, 1, 1); err != nil {
		return err
	}
	seq, err := l.sequence(0)
	if err != nil {
		return err
	}
	at, err := l.position(1, len(seq.elems), len(seq.elems)-1)
	if err != nil {
		return err
	}
	return l.resultSequence(seq.dtype, slices.Delete(slices.Clone(seq.elems), at, at+1))
}

func lowerSequenceAt(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	seq, err := l.sequence(0)
	if err != nil {
		return err
	}
	at, err := l.position(1, len(seq.elems), len(seq.elems)-1)
	if err != nil {
		return err
	}
	l.Result(0, seq.elems[at])
	return nil
}

// position reads input i as a position among n elements, from the end when negative. The last one allowed stands when the
// input is absent.
func (l *Lowering) position(i, n, last int) (int, error) {
	at := int64(last)
	if l.Has(i) {
		v, err := l.ConstInts(i)
		if err != nil {
			return 0, err
		}
		if len(v) != 1 {
			return 0, badInput(l.NodeCtx, i, "has %d elements, want one position", len(v))
		}
		at = v[0]
	}
	if at < -int64(n) || at > int64(last) || last < 0 {
		return 0, badNode(l.NodeCtx, "position %d is outside a sequence of %d", at, n)
	}
	if at < 0 {
		at += int64(n)
	}
	return int(at), nil
}

func lowerSequenceLength(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	seq, err := l.sequence(0)
	if err != nil {
		return err
	}
	l.Result(0, l.Const(tensor.FromI64([]int64{int64(len(seq.elems))})))
	return nil
}

// lowerConcatFromSequence joins the elements along an axis, or stacks them along a new one.
func lowerConcatFromSequence(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	seq, err := l.sequence(0)
	if err != nil {
		return err
	}
	if len(seq.elems) == 0 {
		return badInput(l.NodeCtx, 0, "is empty: there is nothing to join")
	}
	rank := len(l.TypeOf(seq.elems[0]).Shape)
	stacked := l.AttrInt("new_axis", 0) != 0
	if stacked {
		rank++
	}
	axis, err := normAxis(l.NodeCtx, l.AttrInt("axis", math.MaxInt64), rank)
	if err != nil {
		return err
	}
	if !stacked {
		l.Result(0, l.OpA("Concat", map[string]Attr{"axis": IntAttr(axis)}, seq.elems...))
		return nil
	}
	for _, id := range seq.elems {
		if !l.TypeOf(id).Equal(l.TypeOf(seq.elems[0])) {
			return badInput(l.NodeCtx, 0, "has elements %v and %v, which cannot be stacked", l.TypeOf(seq.elems[0]), l.TypeOf(id))
		}
	}
	l.Result(0, l.stack(seq.elems, axis))
	return nil
}
