package graph

import (
	"fmt"
	"slices"
)

func init() {
	Register(Operator{Name: "SplitToSequence", Since: 11, Lower: lowerSplitToSequence})
}

// lowerSplitToSequence cuts a tensor along an axis: into parts of the sizes in a vector, into parts of one size (the last
// may be smaller), or without an input into single elements, whose axis keepdims = 0 drops.
func lowerSplitToSequence(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 2, 1, 1); err != nil {
		return err
	}
	typ := l.In[0].Type
	axis, err := normAxis(l.NodeCtx, l.AttrInt("axis", 0), len(typ.Shape))
	if err != nil {
		return err
	}
	sizes, err := l.splitSizes(typ.Shape[axis])
	if err != nil {
		return err
	}
	var parts []ValueID
	if len(sizes) > 0 {
		parts = slices.Clone(l.Split(l.Arg(0), axis, sizes...))
	}
	if !l.Has(1) && l.AttrInt("keepdims", 1) == 0 {
		shape := slices.Delete(slices.Clone(typ.Shape), axis, axis+1)
		for i, id := range parts {
			parts[i] = l.Reshape(id, shape...)
		}
	}
	return l.resultSequence(typ.DType, parts)
}

// splitSizes gives the sizes of the parts of an axis of n.
func (l *Lowering) splitSizes(n int) ([]int, error) {
	step := int64(1)
	if l.Has(1) {
		v, err := l.ConstInts(1)
		if err != nil {
			return nil, err
		}
		if len(l.In[1].Shape) > 0 {
			return l.givenSizes(v, n)
		}
		if step = v[0]; step < 1 {
			return nil, badInput(l.NodeCtx, 1, "is a size of %d", step)
		}
	}
	step = min(step, int64(max(n, 1)))
	if l.s.total += n / int(step); l.s.total > maxUnrolled {
		return nil, l.Refuse("", fmt.Sprintf("its parts bring the graph to more than %d nodes", maxUnrolled))
	}
	var sizes []int
	for ; n > 0; n -= int(step) {
		sizes = append(sizes, min(n, int(step)))
	}
	return sizes, nil
}

func (l *Lowering) givenSizes(v []int64, n int) ([]int, error) {
	sizes, left := make([]int, len(v)), int64(n)
	for i, size := range v {
		if size < 0 || size > left {
			return nil, badInput(l.NodeCtx, 1, "has sizes %v for an axis of %d", v, n)
		}
		sizes[i] = int(size)
		left -= size
	}
	if left != 0 {
		return nil, badInput(l.NodeCtx, 1, "has sizes %v for an axis of %d", v, n)
	}
	return sizes, nil
}
