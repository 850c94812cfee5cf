package graph

import (
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "ScatterElements", Since: 11, Infer: inferScatterElements, Compile: compileScatter, VJP: scatterVJP})
	Register(Operator{Name: "ScatterND", Since: 11, Infer: inferScatterND, Compile: compileScatter, VJP: scatterVJP})
}

// scatterRule returns how an update meets the value in place.
func scatterRule[T number](name string) func(old, update T) T {
	switch name {
	case "add":
		return func(a, b T) T { return a + b }
	case "mul":
		return func(a, b T) T { return a * b }
	case "min":
		return func(a, b T) T { return min(a, b) }
	case "max":
		return func(a, b T) T { return max(a, b) }
	}
	return func(_, b T) T { return b }
}

func checkScatter(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFixed); err != nil {
		return err
	}
	if c.In[2].DType != c.In[0].DType {
		return badInput(c, 2, "has type %v, want %v as data", c.In[2].DType, c.In[0].DType)
	}
	switch rule := c.AttrString("reduction", "none"); rule {
	case "none":
		return nil
	case "add", "mul", "min", "max":
		if c.In[0].DType == tensor.Bool {
			return c.Refuse("reduction", rule+" of bool")
		}
		return nil
	default:
		return c.Refuse("reduction", "want none, add, mul, min or max, not "+rule)
	}
}

func inferScatterElements(c *NodeCtx) error {
	if err := checkScatter(c); err != nil {
		return err
	}
	if err := checkElementIndices(c); err != nil {
		return err
	}
	if err := checkShape(c, 2, c.In[1].Shape...); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func inferScatterND(c *NodeCtx) error {
	if err := checkScatter(c); err != nil {
		return err
	}
	t, err := tuplesOf(c, 0)
	if err != nil {
		return err
	}
	idx := c.In[1].Shape
	want := append(append([]int{}, idx[:len(idx)-1]...), c.In[0].Shape[t.width:]...)
	if err := checkShape(c, 2, want...); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileScatter(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return scatter[float32](c)
	case tensor.F64:
		return scatter[float64](c)
	case tensor.I8:
		return scatter[int8](c)
	case tensor.I16:
		return scatter[int16](c)
	case tensor.I32:
		return scatter[int32](c)
	case tensor.I64:
		return scatter[int64](c)
	case tensor.U16:
		return scatter[uint16](c)
	case tensor.U32:
		return scatter[uint32](c)
	case tensor.U64:
		return scatter[uint64](c)
	}
	return scatter[uint8](c) // U8, and Bool as its byte
}

func scatter[T number](c *NodeCtx) (Kernel, error) {
	rule := scatterRule[T](c.AttrString("reduction", "none"))
	if c.Node.Op == "ScatterElements" {
		return scatterElements(c, rule)
	}
	t, err := tuplesOf(c, 0)
	if err != nil {
		return Kernel{}, err
	}
	return Kernel{Run: func(f *Frame) error {
		copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data)
		dst, up, idx := view[T](f.Out[0]), view[T](f.In[2]), view[int64](f.In[1])
		for k := range t.batch * t.perBatch {
			at, err := t.offset(idx, k)
			if err != nil {
				return err
			}
			for i, v := range up[k*t.inner:][:t.inner] {
				dst[at+i] = rule(dst[at+i], v)
			}
		}
		return nil
	}}, nil
}

func scatterElements[T number](c *NodeCtx, rule func(a, b T) T) (Kernel, error) {
	data, idxShape := c.In[0].Shape, c.In[1].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(data))
	if err != nil {
		return Kernel{}, err
	}
	return Kernel{Run: func(f *Frame) error {
		copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data)
		at, err := elementOffsets(f.In[1], idxShape, data, axis)
		if err != nil {
			return err
		}
		dst, up := view[T](f.Out[0]), view[T](f.In[2])
		for i, o := range at {
			dst[o] = rule(dst[o], up[i])
		}
		return nil
	}}, nil
}
