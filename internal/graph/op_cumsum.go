package graph

import (
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "CumSum", Since: 11, Infer: inferCumSum, Compile: compileCumSum, VJP: elementwise(cumSumGrad)})
	Register(Operator{Name: "CumProd", Since: 26, Infer: inferCumSum, Compile: compileCumSum})
}

func cumSumAxis(c *NodeCtx) (int, error) {
	v, err := c.ConstInts(1)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, badInput(c, 1, "has %d elements, want one axis", len(v))
	}
	return normAxis(c, v[0], len(c.In[0].Shape))
}

func inferCumSum(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if _, err := cumSumAxis(c); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileCumSum(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return cumSum[float32](c)
	case tensor.F64:
		return cumSum[float64](c)
	case tensor.I32:
		return cumSum[int32](c)
	case tensor.I64:
		return cumSum[int64](c)
	case tensor.U32:
		return cumSum[uint32](c)
	case tensor.U64:
		return cumSum[uint64](c)
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

func cumSum[T number](c *NodeCtx) (Kernel, error) {
	axis, err := cumSumAxis(c)
	if err != nil {
		return Kernel{}, err
	}
	exclusive, reverse := c.AttrInt("exclusive", 0) != 0, c.AttrInt("reverse", 0) != 0
	outer, n, inner := splitAt(c.In[0].Shape, axis)
	join, none := func(a, b T) T { return a + b }, T(0)
	if c.Node.Op == "CumProd" {
		join, none = func(a, b T) T { return a * b }, 1
	}
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		for r := range outer * inner {
			base := r/inner*n*inner + r%inner
			sum := none
			for i := range n {
				at := base + i*inner
				if reverse {
					at = base + (n-1-i)*inner
				}
				x := src[at]
				if !exclusive {
					sum = join(sum, x)
				}
				dst[at] = sum
				if exclusive {
					sum = join(sum, x)
				}
			}
		}
	}), nil
}

// cumSumGrad runs the sum from the other end.
func cumSumGrad(b *Backward) ValueID {
	back := 1 - min(1, b.AttrInt("reverse", 0))
	return b.OpA("CumSum", withAttr(b.Node.Attrs, "reverse", IntAttr(int(back))), b.G(0), b.X(1))
}
