package graph

import (
	"winnow/internal/tensor"
)

// gatherVJP adds the cotangents of the slices up where they were taken. Constant indices without repetition need no
// addition: every slice of the input is one of the cotangent or zero.
func gatherVJP(b *Backward) error {
	axis, err := normAxis(b.NodeCtx, b.AttrInt("axis", 0), len(b.In[0].Shape))
	if err != nil || b.Out[0].Elems() == 0 {
		return err
	}
	outer, n, inner := splitAt(b.In[0].Shape, axis)
	k := b.In[1].Elems()
	g := b.Reshape(b.G(0), outer, k, inner)
	if t := b.Known(b.X(1)); t != nil {
		idx, err := indices(*t, n)
		if err != nil {
			return badInput(b.NodeCtx, 1, "%v", err)
		}
		if from, ok := placed(idx, n); ok {
			b.Give(0, b.Reshape(b.takeOrZero(g, from), b.In[0].Shape...))
			return nil
		}
	}
	b.Give(0, b.Reshape(b.gatherSum(g, outer, n, k, inner), b.In[0].Shape...))
	return nil
}

// gatherSum adds slice j of g [outer, k, inner] to slice indices[j] of [outer, n, inner].
func (b *Backward) gatherSum(g ValueID, outer, n, k, inner int) ValueID {
	dt := b.In[0].DType
	if b.OpsetVersion() < 16 { // scatters do not add yet
		values := b.concat(0, b.Reshape(b.Scalar(dt, 0), 1), b.Reshape(b.Scalar(dt, 1), 1))
		at := map[string]Attr{"axis": IntAttr(0)}
		hot := b.OpA("OneHot", at, b.Reshape(b.X(1), k), b.Ints(n), values)
		return b.Op("MatMul", hot, g)
	}
	idx := b.Reshape(b.cast(b.X(1), tensor.I64), k, 1)
	add := map[string]Attr{"reduction": StringAttr("add")}
	sums := b.OpA("ScatterND", add, b.zerosOf(dt, n, outer, inner), idx, b.Transpose(g, 1, 0, 2))
	return b.Transpose(sums, 1, 0, 2)
}

// placed inverts a list of indices into [0, n): from[i] is the position that holds i, -1 if none does. ok is false when
// an index repeats.
func placed(idx []int, n int) (from []int, ok bool) {
	from = make([]int, n)
	for i := range from {
		from[i] = -1
	}
	for at, i := range idx {
		if from[i] >= 0 {
			return nil, false
		}
		from[i] = at
	}
	return from, true
}

// takeOrZero makes [outer, len(from), inner] of g [outer, k, inner]: slice i is slice from[i] of g, zeros when that is
// negative.
func (b *Backward) takeOrZero(g ValueID, from []int) ValueID {
	if b.err != nil {
		return g
	}
	k, n := b.Shape(g)[1], len(from)
	if first, ok := oneRun(from, k); ok {
		return b.padAxis(g, 1, first, n-first-k)
	}
	at := make([]int, n)
	for i, p := range from {
		if at[i] = p; p < 0 {
			at[i] = k
		}
	}
	return b.OpA("Gather", map[string]Attr{"axis": IntAttr(1)}, b.padAxis(g, 1, 0, 1), b.Ints(at...))
}

// oneRun reports whether the k positions follow each other in from, and where they begin.
func oneRun(from []int, k int) (first int, ok bool) {
	for first < len(from) && from[first] < 0 {
		first++
	}
	for i := range k {
		if first+i >= len(from) || from[first+i] != i {
			return 0, false
		}
	}
	return first, true
}

// zerosOf is a value of zeros, computed when it is needed: as a constant it would lie in every file and program.
func (b *Backward) zerosOf(dt tensor.DType, shape ...int) ValueID {
	return b.Expand(b.Scalar(dt, 0), shape...)
}

// scatterAdd adds updates to zeros of the shape of input 0, by the scatter operator that belongs to a gather.
func (b *Backward) scatterAdd(op string, attrs map[string]Attr, indices, updates ValueID) ValueID {
	if b.OpsetVersion() < 16 {
		b.fail(b.Refuse("", "its gradient adds where indices repeat, which "+op+" does from opset 16 on; export with a newer opset"))
		return None
	}
	zeros := b.zerosOf(b.In[0].DType, b.In[0].Shape...)
	return b.OpA(op, withAttr(attrs, "reduction", StringAttr("add")), zeros, indices, updates)
}

func gatherElementsGrad(b *Backward) ValueID {
	return b.scatterAdd("ScatterElements", b.Node.Attrs, b.X(1), b.G(0))
}

// gatherNDVJP: ScatterND knows no batch dimensions, so these become coordinates.
func gatherNDVJP(b *Backward) error {
	batch := int(b.AttrInt("batch_dims", 0))
	idx := b.X(1)
	if batch > 0 {
		idx = b.concat(len(b.In[1].Shape)-1, b.batchCoordinates(batch), idx)
	}
	b.Give(0, b.scatterAdd("ScatterND", nil, idx, b.G(0)))
	return nil
}

// batchCoordinates holds for every tuple of input 1 its position in the leading batch dimensions.
func (b *Backward) batchCoordinates(batch int) ValueID {
	shape := append(append([]int{}, b.In[1].Shape[:len(b.In[1].Shape)-1]...), batch)
	t := tensor.New(tensor.I64, shape...)
	strides := rowStrides(shape[:len(shape)-1])
	for i := range t.I64() {
		d := i % batch
		t.I64()[i] = int64(i / batch / strides[d] % shape[d])
	}
	return b.Const(t)
}
