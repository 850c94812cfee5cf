package graph

import (
	"winnow/internal/tensor"
)

func init() {
	for _, name := range []string{"ArgMax", "ArgMin"} {
		Register(Operator{Name: name, Since: 1, Infer: inferArgMax, Compile: compileArgMax})
	}
}

func inferArgMax(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	in := c.In[0].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(in))
	if err != nil {
		return err
	}
	if in[axis] == 0 {
		return badInput(c, 0, "of shape %v has nothing along axis %d", in, axis)
	}
	shape := append([]int{}, in[:axis]...)
	if c.AttrInt("keepdims", 1) != 0 {
		shape = append(shape, 1)
	}
	return out1(c, tensor.I64, append(shape, in[axis+1:]...))
}

func compileArgMax(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return argMax[float32](c)
	case tensor.F64:
		return argMax[float64](c)
	case tensor.I8:
		return argMax[int8](c)
	case tensor.I16:
		return argMax[int16](c)
	case tensor.I32:
		return argMax[int32](c)
	case tensor.I64:
		return argMax[int64](c)
	case tensor.U8:
		return argMax[uint8](c)
	case tensor.U16:
		return argMax[uint16](c)
	case tensor.U32:
		return argMax[uint32](c)
	}
	return argMax[uint64](c)
}

// argMax takes the first of equal extremes, the last with select_last_index.
func argMax[T number](c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	better := func(a, b T) bool { return a > b }
	if c.Node.Op == "ArgMin" {
		better = func(a, b T) bool { return a < b }
	}
	last := c.AttrInt("select_last_index", 0) != 0
	_, n, inner := splitAt(c.In[0].Shape, axis)
	return run(func(f *Frame) {
		dst, src := view[int64](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, len(dst), n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				line := src[r/inner*n*inner+r%inner:]
				best := 0
				for i := 1; i < n; i++ {
					x, y := line[i*inner], line[best*inner]
					if better(x, y) || last && x == y {
						best = i
					}
				}
				dst[r] = int64(best)
			}
		})
	}), nil
}
