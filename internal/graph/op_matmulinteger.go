package graph

import "winnow/internal/tensor"

func init() {
	Register(Operator{Name: "MatMulInteger", Since: 10, Infer: inferMatMulInteger, Compile: compileMatMulInteger})
}

// inferMatMulInteger takes one zero point for all of A and of B; per-row and per-column ones are refused.
func inferMatMulInteger(c *NodeCtx) error {
	if err := checkArity(c, 2, 4, 1, 1); err != nil {
		return err
	}
	for i := range c.In {
		if c.Has(i) && c.In[i].DType != tensor.U8 && c.In[i].DType != tensor.I8 {
			return badInput(c, i, "has type %v, want int8 or uint8", c.In[i].DType)
		}
		if i >= 2 && c.Has(i) && (c.In[i].Elems() != 1 || c.In[i].DType != c.In[i-2].DType) {
			return c.Refuse("", "zero points per row or column")
		}
	}
	for i := range 2 {
		if err := checkRank(c, i, 1, maxRank); err != nil {
			return err
		}
	}
	dt := c.In[0].DType
	c.In[0].DType = tensor.I32
	second := c.In[1].DType
	c.In[1].DType = tensor.I32
	in := c.In
	c.In = in[:2]
	err := inferMatMul(c)
	c.In = in
	c.In[0].DType, c.In[1].DType = dt, second
	return err
}

func compileMatMulInteger(c *NodeCtx) (Kernel, error) {
	sa, sb := promote(c.In[0].Shape, c.In[1].Shape)
	p, why := newProduct(sa, sb, false, false)
	if p == nil {
		return Kernel{}, badNode(c, "%s", why)
	}
	p.plan(sa, sb)
	hasA, hasB := c.Has(2), c.Has(3)
	return run(func(f *Frame) {
		a, b, dst := widenBytes(f, 0, hasA), widenBytes(f, 1, hasB), view[int32](f.Out[0])
		clear(dst)
		rowTasks(f.Pool, len(p.offA)*p.m, p.k*p.n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				i := r / p.m
				productRow(p, dst[r*p.n:][:p.n], a[p.offA[i]:], b[p.offB[i]:], r%p.m)
			}
		})
	}), nil
}

// widenBytes returns input i minus its zero point (input i+2).
func widenBytes(f *Frame, i int, hasZero bool) []int32 {
	at := func(t tensor.Tensor, k int) int32 {
		if t.DType == tensor.I8 {
			return int32(int8(t.Data[k]))
		}
		return int32(t.Data[k])
	}
	zero := int32(0)
	if hasZero {
		zero = at(f.In[i+2], 0)
	}
	out := make([]int32, len(f.In[i].Data))
	for k := range out {
		out[k] = at(f.In[i], k) - zero
	}
	return out
}
