package graph

import (
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Shape", Since: 1, ShapeOnly: true, Infer: inferShape, Compile: compileShape})
	Register(Operator{Name: "Size", Since: 1, ShapeOnly: true, Infer: inferSize, Compile: compileSize})
}

// shapeRange returns the slice bounds of Shape (attributes start and end, opset 15), clamped as ONNX asks.
func shapeRange(c *NodeCtx) (from, to int) {
	rank := int64(len(c.In[0].Shape))
	clampTo := func(v int64) int {
		if v < 0 {
			v += rank
		}
		return int(min(max(v, 0), rank))
	}
	from, to = clampTo(c.AttrInt("start", 0)), clampTo(c.AttrInt("end", rank))
	return from, max(from, to)
}

func inferShape(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	from, to := shapeRange(c)
	return out1(c, tensor.I64, []int{to - from})
}

func compileShape(c *NodeCtx) (Kernel, error) {
	from, _ := shapeRange(c)
	shape := c.In[0].Shape
	return run(func(f *Frame) {
		dst := view[int64](f.Out[0])
		for i := range dst {
			dst[i] = int64(shape[from+i])
		}
	}), nil
}

func inferSize(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	return out1(c, tensor.I64, []int{})
}

func compileSize(c *NodeCtx) (Kernel, error) {
	n := int64(c.In[0].Elems())
	return run(func(f *Frame) { view[int64](f.Out[0])[0] = n }), nil
}
