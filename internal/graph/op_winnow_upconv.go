package graph

import (
	"fmt"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "UpConv", Domain: Domain, Since: 1, Infer: inferUpConv, Compile: compileUpConv, VJP: vjpUpConv})
}

func inferUpConv(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkRank(c, i, 4, 4); err != nil {
			return err
		}
	}
	x, w := c.In[0].Shape, c.In[1].Shape
	if w[1] != x[1] || w[2] != 3 || w[3] != 3 || w[0] == 0 || w[1] == 0 {
		return badInput(c, 1, "of shape %v is no 3×3 kernel for an input of shape %v", w, x)
	}
	if err := checkShape(c, 2, w[0]); err != nil {
		return err
	}
	shape := []int{x[0], w[0], 2 * x[2], 2 * x[3]}
	if _, ok := elemCount(shape); !ok {
		return badNode(c, "the result is too large")
	}
	return out1(c, c.In[0].DType, shape)
}

func compileUpConv(c *NodeCtx) (Kernel, error) {
	x, cout := c.In[0].Shape, c.In[1].Shape[0]
	s := kernel.ConvSpec{N: x[0], Cin: x[1], H: x[2], W: x[3], Cout: cout}
	if c.Out[0].Elems() == 0 {
		return run(func(*Frame) {}), nil
	}
	k := Kernel{Scratch: kernel.UpConvScratch(max(1, c.Threads), s), Flops: 8 * float64(c.Out[0].Elems()) * float64(s.Cin)}
	var packed *kernel.PackedUpConv
	if t := c.In[1].Const; t != nil {
		k.Absorbed = []int{1}
		packed = c.Packed(1, fmt.Sprintf("upconv/%d/%d/%v", s.Cin, cout, t.DType), func() (any, int) {
			w := kernel.PackUpConv(t.Float32s(), s.Cin, cout)
			return w, w.Bytes()
		}).(*kernel.PackedUpConv)
	}
	k.Run = func(f *Frame) error {
		w := packed
		if w == nil {
			w = kernel.PackUpConv(view[float32](f.In[1]), s.Cin, cout)
		}
		kernel.UpConv2D(f.Pool, f.Scratch, view[float32](f.Out[0]), view[float32](f.In[0]), w, s, optional[float32](f, 2))
		return nil
	}
	return k, nil
}

// vjpUpConv goes back through the convolution, and sums the four pixels that each pixel became.
func vjpUpConv(b *Backward) error {
	if b.Needs(1) {
		return b.Refuse("", "the weights of an upsampling convolution are constant")
	}
	b.Give(2, b.overChannels(b.G(0)))
	if !b.Needs(0) {
		return nil
	}
	w := window{kernel: []int{3, 3}, stride: []int{1, 1}, dil: []int{1, 1}, begin: []int{1, 1}, end: []int{1, 1}}
	x, y := b.In[0].Shape, b.Out[0].Shape
	g := b.convInput(b.G(0), b.X(1), []int{x[0], x[1], y[2], y[3]}, w, 1)
	b.Give(0, b.ReduceSum(b.Reshape(g, x[0], x[1], x[2], 2, x[3], 2), false, 3, 5))
	return nil
}

// upWeights reports whether a value is constant weights that UpConv packs.
func (p *ir) upWeights(id ValueID) bool {
	v := p.val(id)
	return v.konst != nil && v.typ.Storage() == tensor.F32 && len(v.typ.Shape) == 4 && v.typ.Shape[2] == 3 && v.typ.Shape[3] == 3
}
