package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Gather", Since: 1, Infer: inferGather, Compile: compileGather, VJP: gatherVJP})
	Register(Operator{
		Name: "GatherElements", Since: 11, Infer: inferGatherElements, Compile: compileGatherElements,
		VJP: elementwise(gatherElementsGrad),
	})
	Register(Operator{Name: "GatherND", Since: 11, Infer: inferGatherND, Compile: compileGatherND, VJP: gatherNDVJP})
}

// checkIndices requires input i to hold int32 or int64.
func checkIndices(c *NodeCtx, i int) error {
	if dt := c.In[i].DType; dt != tensor.I32 && dt != tensor.I64 {
		return badInput(c, i, "has type %v, want int32 or int64 indices", dt)
	}
	return nil
}

// indices returns the elements of an index tensor mapped to [0, n); negative ones count from the end.
func indices(t tensor.Tensor, n int) ([]int, error) {
	if t.DType == tensor.I32 {
		return fitIndices(view[int32](t), n)
	}
	return fitIndices(view[int64](t), n)
}

func fitIndices[T int32 | int64](src []T, n int) ([]int, error) {
	out := make([]int, len(src))
	for k, v := range src {
		i := int(v)
		if i < 0 {
			i += n
		}
		if i < 0 || i >= n {
			return nil, fmt.Errorf("index %d at position %d is outside [-%d, %d)", v, k, n, n)
		}
		out[k] = i
	}
	return out, nil
}

func inferGather(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	if err := checkIndices(c, 1); err != nil {
		return err
	}
	in := c.In[0].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(in))
	if err != nil {
		return err
	}
	shape := append([]int{}, in[:axis]...)
	shape = append(append(shape, c.In[1].Shape...), in[axis+1:]...)
	return out1(c, c.In[0].DType, shape)
}

// compileGather copies runs of whole inner slices.
func compileGather(c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	outer, n, inner := splitAt(c.In[0].Shape, axis)
	if t := c.In[0].Const; t != nil && t.DType != storage(t.DType) {
		return gatherHalf(*t, outer, n, inner), nil
	}
	size := inner * storage(c.In[0].DType).Size()
	return Kernel{Run: func(f *Frame) error {
		if len(f.Out[0].Data) == 0 {
			return nil
		}
		idx, err := indices(f.In[1], n)
		if err != nil {
			return err
		}
		dst, src := f.Out[0].Data, f.In[0].Data
		rowTasks(f.Pool, outer*len(idx), size/4, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				o, k := r/len(idx), idx[r%len(idx)]
				copy(dst[r*size:][:size], src[(o*n+k)*size:])
			}
		})
		return nil
	}}, nil
}

// gatherHalf widens only the slices it takes from a half-precision table, so that the embeddings of a text encoder stay
// in the file's format.
func gatherHalf(table tensor.Tensor, outer, n, inner int) Kernel {
	return Kernel{Absorbed: []int{0}, Run: func(f *Frame) error {
		dst := view[float32](f.Out[0])
		if len(dst) == 0 {
			return nil
		}
		idx, err := indices(f.In[1], n)
		if err != nil {
			return err
		}
		rowTasks(f.Pool, outer*len(idx), inner, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				o, k := r/len(idx), idx[r%len(idx)]
				tensor.WidenInto(dst[r*inner:][:inner], table, (o*n+k)*inner)
			}
		})
		return nil
	}}
}

func inferGatherElements(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	if err := checkElementIndices(c); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[1].Shape)
}

// checkElementIndices checks input 1 of GatherElements and ScatterElements: input 0's rank, no larger than input 0 but
// along the axis.
func checkElementIndices(c *NodeCtx) error {
	if err := checkIndices(c, 1); err != nil {
		return err
	}
	in, idx := c.In[0].Shape, c.In[1].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(in))
	if err != nil {
		return err
	}
	if len(idx) != len(in) {
		return badInput(c, 1, "of shape %v has not the rank of data of shape %v", idx, in)
	}
	for d := range idx {
		if d != axis && idx[d] > in[d] {
			return badInput(c, 1, "of shape %v reaches beyond data of shape %v", idx, in)
		}
	}
	return nil
}

// elementOffsets returns for each element of the index tensor the offset in data that it means.
func elementOffsets(t tensor.Tensor, idxShape, dataShape []int, axis int) ([]int, error) {
	idx, err := indices(t, dataShape[axis])
	if err != nil {
		return nil, err
	}
	str := rowStrides(dataShape)
	for k, v := range idx {
		at, rest := v*str[axis], k
		for d := len(idxShape) - 1; d >= 0; d-- {
			if d != axis {
				at += rest % idxShape[d] * str[d]
			}
			rest /= idxShape[d]
		}
		idx[k] = at
	}
	return idx, nil
}

func compileGatherElements(c *NodeCtx) (Kernel, error) {
	k := bySize(c.In[0].DType, gatherElements[uint8], gatherElements[uint16], gatherElements[uint32], gatherElements[uint64])
	return k(c)
}

func gatherElements[T elem](c *NodeCtx) (Kernel, error) {
	data, idxShape := c.In[0].Shape, c.In[1].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(data))
	if err != nil {
		return Kernel{}, err
	}
	return Kernel{Run: func(f *Frame) error {
		at, err := elementOffsets(f.In[1], idxShape, data, axis)
		if err != nil {
			return err
		}
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		for i, o := range at {
			dst[i] = src[o]
		}
		return nil
	}}, nil
}

// tuples describes an index tensor whose last dimension holds coordinates: batch leading dimensions are shared with
// data, count tuples of width coordinates select slices of inner elements each.
type tuples struct {
	batch, perBatch, width, inner int
	dims                          []int // dimensions that the coordinates index
	stride                        []int // their strides in data
	dataBatch                     int   // elements of data per batch
}

// tuplesOf checks indices (input 1) against data (input 0) for GatherND and ScatterND.
func tuplesOf(c *NodeCtx, batchDims int64) (tuples, error) {
	var t tuples
	if c.In[1].DType != tensor.I64 {
		return t, badInput(c, 1, "has type %v, want int64 indices", c.In[1].DType)
	}
	data, idx := c.In[0].Shape, c.In[1].Shape
	if len(data) == 0 || len(idx) == 0 || batchDims < 0 || batchDims >= int64(min(len(data), len(idx))) {
		return t, badNode(c, "data of shape %v, indices of shape %v and batch_dims %d do not fit", data, idx, batchDims)
	}
	b := int(batchDims)
	t.width = idx[len(idx)-1]
	if t.width < 1 || t.width > len(data)-b || !equalShape(data[:b], idx[:b]) {
		return t, badNode(c, "data of shape %v, indices of shape %v and batch_dims %d do not fit", data, idx, b)
	}
	t.batch, t.perBatch = numElems(data[:b]), numElems(idx[b:len(idx)-1])
	t.dims, t.stride = data[b:b+t.width], rowStrides(data)[b:b+t.width]
	t.inner, t.dataBatch = numElems(data[b+t.width:]), numElems(data[b:])
	return t, nil
}

// offset returns where in data the slice of tuple k begins.
func (t *tuples) offset(idx []int64, k int) (int, error) {
	at := k / t.perBatch * t.dataBatch
	for d, v := range idx[k*t.width:][:t.width] {
		n := int64(t.dims[d])
		if v < -n || v >= n {
			return 0, fmt.Errorf("index %d at position %d, coordinate %d, is outside [-%d, %d)", v, k, d, n, n)
		}
		if v < 0 {
			v += n
		}
		at += int(v) * t.stride[d]
	}
	return at, nil
}

func inferGatherND(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	b := c.AttrInt("batch_dims", 0)
	t, err := tuplesOf(c, b)
	if err != nil {
		return err
	}
	idx := c.In[1].Shape
	shape := append([]int{}, idx[:len(idx)-1]...)
	return out1(c, c.In[0].DType, append(shape, c.In[0].Shape[int(b)+t.width:]...))
}

func compileGatherND(c *NodeCtx) (Kernel, error) {
	t, err := tuplesOf(c, c.AttrInt("batch_dims", 0))
	if err != nil {
		return Kernel{}, err
	}
	elemSize := storage(c.In[0].DType).Size()
	size := t.inner * elemSize
	return Kernel{Run: func(f *Frame) error {
		idx := view[int64](f.In[1])
		for k := range t.batch * t.perBatch {
			at, err := t.offset(idx, k)
			if err != nil {
				return err
			}
			copy(f.Out[0].Data[k*size:][:size], f.In[0].Data[at*elemSize:])
		}
		return nil
	}}, nil
}
