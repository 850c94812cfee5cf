package graph

import (
	"slices"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "TopK", Since: 1, Infer: inferTopK, Compile: compileTopK, VJP: topKVJP})
}

// topK returns k: an attribute before opset 10, input 1 from then on.
func topK(c *NodeCtx) (int64, error) {
	if c.Node.Opset < 10 {
		return c.AttrInt("k", -1), nil
	}
	v, err := c.ConstInts(1)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, badInput(c, 1, "has %d elements, want one", len(v))
	}
	return v[0], nil
}

func inferTopK(c *NodeCtx) error {
	n := 2
	if c.Node.Opset < 10 {
		n = 1
	}
	if err := checkArity(c, n, n, 1, 2); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	in := c.In[0].Shape
	axis, err := normAxis(c, c.AttrInt("axis", -1), len(in))
	if err != nil {
		return err
	}
	k, err := topK(c)
	if err != nil {
		return err
	}
	if k < 0 || k > int64(in[axis]) {
		return badNode(c, "k = %d is outside [0, %d]", k, in[axis])
	}
	shape := append([]int{}, in...)
	shape[axis] = int(k)
	return setOut(c, Type{c.In[0].DType, shape}, Type{tensor.I64, shape})
}

func compileTopK(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return topKKernel[float32](c)
	case tensor.F64:
		return topKKernel[float64](c)
	case tensor.I8:
		return topKKernel[int8](c)
	case tensor.I16:
		return topKKernel[int16](c)
	case tensor.I32:
		return topKKernel[int32](c)
	case tensor.I64:
		return topKKernel[int64](c)
	case tensor.U8:
		return topKKernel[uint8](c)
	case tensor.U16:
		return topKKernel[uint16](c)
	case tensor.U32:
		return topKKernel[uint32](c)
	}
	return topKKernel[uint64](c)
}

// topKKernel sorts each line; equal elements keep their order, so the lower index comes first.
func topKKernel[T number](c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", -1), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	outer, n, inner := splitAt(c.In[0].Shape, axis)
	k := c.Out[0].Shape[axis]
	sign := -1
	if c.AttrInt("largest", 1) == 0 {
		sign = 1
	}
	hasIndex := len(c.Out) > 1
	if k == 0 {
		return run(func(*Frame) {}), nil
	}
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		order := make([]int, n)
		for r := range outer * inner {
			line := src[r/inner*n*inner+r%inner:]
			for i := range order {
				order[i] = i
			}
			slices.SortStableFunc(order, func(a, b int) int { return sign * compareNumbers(line[a*inner], line[b*inner]) })
			at := r/inner*k*inner + r%inner
			for i := range k {
				dst[at+i*inner] = line[order[i]*inner]
				if hasIndex {
					view[int64](f.Out[1])[at+i*inner] = int64(order[i])
				}
			}
		}
	}), nil
}

// compareNumbers orders NaN above every number.
func compareNumbers[T number](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	}
	return -1
}

// topKVJP puts the cotangents back where the values came from.
func topKVJP(b *Backward) error {
	axis, err := normAxis(b.NodeCtx, b.AttrInt("axis", -1), len(b.In[0].Shape))
	if err != nil {
		return err
	}
	at := b.Y(1)
	if at == None {
		at = b.OpN("TopK", b.Node.Attrs, 2, b.n.Inputs...)[1]
	}
	zeros := b.zerosOf(b.In[0].DType, b.In[0].Shape...)
	b.Give(0, b.OpA("ScatterElements", map[string]Attr{"axis": IntAttr(axis)}, zeros, at, b.G(0)))
	return nil
}
