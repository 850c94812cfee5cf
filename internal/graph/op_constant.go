package graph

import (
	"fmt"
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Constant", Since: 1, Infer: inferConstant, Compile: compileConstant})
	Register(Operator{Name: "ConstantOfShape", Since: 9, Infer: inferConstantOfShape, Compile: compileConstantOfShape})
	Register(Operator{Name: "EyeLike", Since: 9, ShapeOnly: true, Infer: inferEyeLike, Compile: compileEyeLike})
	Register(Operator{Name: "Range", Since: 11, Infer: inferRange, Compile: compileRange})
}

// constantValue returns the tensor that a Constant node stands for.
func constantValue(c *NodeCtx) (tensor.Tensor, error) {
	for name, a := range c.Node.Attrs {
		switch {
		case name == "value" && a.Kind == AttrTensor && a.T != nil:
			return *a.T, nil
		case name == "value_int" && a.Kind == AttrInt:
			return tensor.FromI64([]int64{a.I}), nil
		case name == "value_ints" && a.Kind == AttrInts:
			return tensor.FromI64(a.Ints, len(a.Ints)), nil
		case name == "value_float" && a.Kind == AttrFloat:
			return tensor.FromF32([]float32{a.F}), nil
		case name == "value_floats" && a.Kind == AttrFloats:
			return tensor.FromF32(a.Floats, len(a.Floats)), nil
		case name == "sparse_value" || name == "value_string" || name == "value_strings":
			return tensor.Tensor{}, c.Refuse(name, "only dense numeric constants are implemented")
		}
	}
	return tensor.Tensor{}, badNode(c, "lacks a value attribute")
}

func inferConstant(c *NodeCtx) error {
	if err := checkArity(c, 0, 0, 1, 1); err != nil {
		return err
	}
	t, err := constantValue(c)
	if err != nil {
		return err
	}
	n, ok := elemCount(t.Shape)
	if size := t.DType.Size(); !ok || size == 0 || n*size != len(t.Data) {
		return badNode(c, "its %v value has shape %v and %d bytes", t.DType, t.Shape, len(t.Data))
	}
	return out1(c, t.DType, t.Shape)
}

func compileConstant(c *NodeCtx) (Kernel, error) {
	t, err := constantValue(c)
	if err != nil {
		return Kernel{}, err
	}
	return run(func(f *Frame) {
		if storage(t.DType) != t.DType {
			tensor.WidenInto(view[float32](f.Out[0]), t, 0)
			return
		}
		copyBytes(f.Pool, f.Out[0].Data, t.Data)
	}), nil
}

// dimsOf reads input i as a shape: non-negative sizes that fit maxElems together.
func dimsOf(c *NodeCtx, i int) ([]int, error) {
	if err := checkRank(c, i, 1, 1); err != nil {
		return nil, err
	}
	v, err := c.ConstInts(i)
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(v))
	for k, d := range v {
		if d < 0 || d > maxElems {
			return nil, badInput(c, i, "%v has an impossible dimension", v)
		}
		shape[k] = int(d)
	}
	return shape, nil
}

// fillValue is the one-element tensor of ConstantOfShape; float32 zero by default.
func fillValue(c *NodeCtx) (tensor.Tensor, error) {
	t := c.AttrTensor("value")
	if t == nil {
		return tensor.New(tensor.F32, 1), nil
	}
	if n, ok := elemCount(t.Shape); !ok || n != 1 || classOf(t.DType)&classStored == 0 || len(t.Data) != t.DType.Size() {
		return tensor.Tensor{}, badNode(c, "attribute value is no single number: %v%v", t.DType, t.Shape)
	}
	return *t, nil
}

func inferConstantOfShape(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	t, err := fillValue(c)
	if err != nil {
		return err
	}
	shape, err := dimsOf(c, 0)
	if err != nil {
		return err
	}
	return out1(c, t.DType, shape)
}

func compileConstantOfShape(c *NodeCtx) (Kernel, error) {
	t, err := fillValue(c)
	if err != nil {
		return Kernel{}, err
	}
	if storage(t.DType) != t.DType {
		t = tensor.FromF32(t.Float32s(), 1)
	}
	return run(func(f *Frame) { fillBytes(f.Out[0].Data, t.Data) }), nil
}

// fillBytes repeats the pattern over dst, doubling what is filled.
func fillBytes(dst, pattern []byte) {
	n := copy(dst, pattern)
	for n > 0 && n < len(dst) {
		n += copy(dst[n:], dst[:n])
	}
}

func inferEyeLike(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, 2); err != nil {
		return err
	}
	dt := typeAttr(c, "dtype", c.In[0].DType)
	if classOf(dt)&classFixed == 0 {
		return c.Refuse("dtype", fmt.Sprintf("element type %v", dt))
	}
	return out1(c, dt, c.In[0].Shape)
}

func compileEyeLike(c *NodeCtx) (Kernel, error) {
	k := c.AttrInt("k", 0)
	one := oneOf(storage(c.Out[0].DType))
	rows, cols := c.Out[0].Shape[0], c.Out[0].Shape[1]
	return run(func(f *Frame) {
		clear(f.Out[0].Data)
		for i := range rows {
			if j := int64(i) + k; j >= 0 && j < int64(cols) {
				copy(f.Out[0].Data[(i*cols+int(j))*len(one):], one)
			}
		}
	}), nil
}

// oneOf returns the bytes of the number 1.
func oneOf(dt tensor.DType) []byte {
	switch dt {
	case tensor.F32:
		return tensor.FromF32([]float32{1}).Data
	case tensor.F64:
		return tensor.FromF64([]float64{1}).Data
	}
	b := make([]byte, dt.Size())
	b[0] = 1
	return b
}

func inferRange(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 3); err != nil {
		return err
	}
	var v [3]float64
	for i := range v {
		if _, err := c.constant(i); err != nil {
			return err
		}
		x, ok := c.ConstScalar(i)
		if !ok {
			return badInput(c, i, "of %v is no number of a type that Range takes", c.In[i].Type)
		}
		v[i] = x
	}
	n := math.Ceil((v[1] - v[0]) / v[2])
	if v[2] == 0 || math.IsNaN(n) || n > maxElems {
		return badNode(c, "start %v, limit %v, delta %v do not describe a range", v[0], v[1], v[2])
	}
	return out1(c, c.In[0].DType, []int{int(max(n, 0))})
}

func compileRange(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return rangeKernel[float32](), nil
	case tensor.F64:
		return rangeKernel[float64](), nil
	case tensor.I16:
		return rangeKernel[int16](), nil
	case tensor.I32:
		return rangeKernel[int32](), nil
	case tensor.I64:
		return rangeKernel[int64](), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

func rangeKernel[T number]() Kernel {
	return run(func(f *Frame) {
		start, delta := view[T](f.In[0])[0], view[T](f.In[2])[0]
		dst := view[T](f.Out[0])
		for i := range dst {
			dst[i] = start + T(i)*delta
		}
	})
}
