package graph

import (
	"winnow/internal/tensor"
)

// Operators whose result's shape depends on contents: they work on constants only.
func init() {
	Register(Operator{Name: "NonZero", Since: 9, Infer: inferNonZero, Compile: compileNonZero})
	Register(Operator{Name: "Compress", Since: 9, Infer: inferCompress, Compile: compileCompress, VJP: compressVJP})
}

// nonZero lists the positions of the elements that have a bit set beside a float's sign.
func nonZero(t tensor.Tensor) []int {
	size := t.DType.Size()
	var at []int
	for i := range t.Elems() {
		b := append([]byte{}, t.Data[i*size:][:size]...)
		if t.DType.IsFloat() {
			b[size-1] &= 0x7f // -0
		}
		for _, v := range b {
			if v != 0 {
				at = append(at, i)
				break
			}
		}
	}
	return at
}

func inferNonZero(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFixed); err != nil {
		return err
	}
	t, err := c.constant(0)
	if err != nil {
		return err
	}
	return out1(c, tensor.I64, []int{len(c.In[0].Shape), len(nonZero(*t))})
}

func compileNonZero(c *NodeCtx) (Kernel, error) {
	t, err := c.constant(0)
	if err != nil {
		return Kernel{}, err
	}
	at, shape := nonZero(*t), c.In[0].Shape
	return run(func(f *Frame) {
		dst := view[int64](f.Out[0])
		for k, pos := range at {
			for d := len(shape) - 1; d >= 0; d-- {
				dst[d*len(at)+k] = int64(pos % shape[d])
				pos /= shape[d]
			}
		}
	}), nil
}

// compressed returns the chosen indices along axis, which is len(shape) when the input counts as flat.
func compressed(c *NodeCtx) (keep []int, outer, n, inner int, err error) {
	t, err := c.constant(1)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	if t.DType != tensor.Bool || len(t.Shape) != 1 {
		return nil, 0, 0, 0, badInput(c, 1, "is %v, want a list of bool", *t)
	}
	outer, n, inner = 1, c.In[0].Elems(), 1
	if _, ok := c.Attr("axis"); ok {
		axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
		if err != nil {
			return nil, 0, 0, 0, err
		}
		outer, n, inner = splitAt(c.In[0].Shape, axis)
	}
	if t.Elems() > n {
		return nil, 0, 0, 0, badInput(c, 1, "has %d entries for %d elements", t.Elems(), n)
	}
	for i, v := range t.Bools() {
		if v {
			keep = append(keep, i)
		}
	}
	return keep, outer, n, inner, nil
}

func inferCompress(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	keep, _, _, _, err := compressed(c)
	if err != nil {
		return err
	}
	shape := []int{len(keep)}
	if _, ok := c.Attr("axis"); ok {
		axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
		if err != nil {
			return err
		}
		shape = append([]int{}, c.In[0].Shape...)
		shape[axis] = len(keep)
	}
	return out1(c, c.In[0].DType, shape)
}

func compileCompress(c *NodeCtx) (Kernel, error) {
	keep, outer, n, inner, err := compressed(c)
	if err != nil {
		return Kernel{}, err
	}
	size := inner * storage(c.In[0].DType).Size()
	return run(func(f *Frame) {
		for o := range outer {
			for k, i := range keep {
				copy(f.Out[0].Data[(o*len(keep)+k)*size:][:size], f.In[0].Data[(o*n+i)*size:])
			}
		}
	}), nil
}

// compressVJP puts the chosen slices back, zeros between.
func compressVJP(b *Backward) error {
	keep, outer, n, inner, err := compressed(b.NodeCtx)
	if err != nil || b.Out[0].Elems() == 0 {
		return err
	}
	from, _ := placed(keep, n)
	g := b.takeOrZero(b.Reshape(b.G(0), outer, len(keep), inner), from)
	b.Give(0, b.Reshape(g, b.In[0].Shape...))
	return nil
}
