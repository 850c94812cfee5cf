package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Linear", Domain: Domain, Since: 1, Infer: inferLinear, Compile: compileLinear, VJP: vjpLinear})
}

// actOf reads attribute act of a fused operator.
func actOf(c *NodeCtx, def string) (kernel.Act, error) {
	name := c.AttrString("act", def)
	if name == "" {
		return kernel.ActNone, nil
	}
	for a := kernel.ActNone; a <= kernel.ActTanh; a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, c.Refuse("act", "no activation is called "+name)
}

// checkFloat32 requires the inputs that are present to be stored as float32.
func checkFloat32(c *NodeCtx) error {
	for i := range c.In {
		if c.Has(i) && storage(c.In[i].DType) != tensor.F32 {
			return c.Refuse("", "input of type "+c.In[i].DType.String()+"; fused operators work on float32 storage")
		}
	}
	return nil
}

func linearProduct(c *NodeCtx) (*product, error) {
	for i := range 2 {
		if err := checkRank(c, i, 2, maxRank); err != nil {
			return nil, err
		}
	}
	p, why := newProduct(c.In[0].Shape, c.In[1].Shape, c.AttrInt("trans_a", 0) != 0, c.AttrInt("trans_b", 0) != 0)
	if p == nil {
		return nil, badNode(c, "%s", why)
	}
	return p, nil
}

func inferLinear(c *NodeCtx) error {
	if err := checkArity(c, 2, 4, 1, 1); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	p, err := linearProduct(c)
	if err != nil {
		return err
	}
	if c.Has(2) {
		n := c.In[2].Elems()
		if n != 1 && (n != p.n || c.In[2].Shape[len(c.In[2].Shape)-1] != n) {
			return badInput(c, 2, "of shape %v is no bias of %d columns", c.In[2].Shape, p.n)
		}
	}
	if err := checkShape(c, 3, p.shape...); err != nil {
		return err
	}
	if _, err := actOf(c, ""); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, p.shape)
}

func compileLinear(c *NodeCtx) (Kernel, error) {
	p, err := linearProduct(c)
	if err != nil {
		return Kernel{}, err
	}
	p.plan(c.In[0].Shape, c.In[1].Shape)
	act, err := actOf(c, "")
	if err != nil {
		return Kernel{}, err
	}
	hasBias, hasResidual, spread := c.Has(2), c.Has(3), 0
	if hasBias && c.In[2].Elems() != p.n {
		spread = p.n
	}
	return p.kernel(c, c.AttrFloat("alpha", 1), spread, func(f *Frame, scratch []float32) kernel.Epilogue {
		ep := kernel.Epilogue{Act: act}
		if hasBias {
			ep.ColBias = view[float32](f.In[2])
		}
		if spread > 0 { // one number for all columns
			fillBytes(float32Bytes(scratch[:spread]), f.In[2].Data)
			ep.ColBias = scratch[:spread]
		}
		if hasResidual {
			ep.Residual = view[float32](f.In[3])
		}
		return ep
	}), nil
}

func float32Bytes(v []float32) []byte { return tensor.FromF32(v, len(v)).Data }

// vjpLinear covers the product with alpha and bias; activation and residual are fused after differentiation only. With
// P = op(a)·op(b): dop(a) = alpha·g·op(b)ᵀ, dop(b) = alpha·op(a)ᵀ·g. A weight shared by all batches takes them as one
// tall product.
func vjpLinear(b *Backward) error {
	if b.AttrString("act", "") != "" || b.X(3) != None {
		return b.Refuse("act", "the gradient of a product with activation or residual is taken before they are fused")
	}
	p, err := linearProduct(b.NodeCtx)
	if err != nil {
		return err
	}
	x, w, g := b.X(0), b.X(1), b.G(0)
	b.Give(2, g)
	alpha := FloatAttr(b.AttrFloat("alpha", 1))
	product := func(l, r ValueID, transL, transR bool) ValueID {
		return b.OpA("winnow.Linear", map[string]Attr{"alpha": alpha, "trans_a": boolAttr(transL), "trans_b": boolAttr(transR)}, l, r)
	}
	if b.Needs(0) {
		if p.transA {
			b.Give(0, product(w, g, p.transB, true))
		} else {
			b.Give(0, product(g, w, false, !p.transB))
		}
	}
	if !b.Needs(1) {
		return nil
	}
	if len(b.In[1].Shape) == 2 && !p.transA {
		x, g = b.Reshape(x, rowsOf(b.In[0].Shape), p.k), b.Reshape(g, rowsOf(b.Out[0].Shape), p.n)
	}
	if p.transB {
		b.Give(1, product(g, x, true, p.transA))
	} else {
		b.Give(1, product(x, g, !p.transA, false))
	}
	return nil
}

// rowsOf is the number of rows of a matrix whose leading dimensions are taken together.
func rowsOf(shape []int) int { return numElems(shape[:len(shape)-1]) }

func boolAttr(v bool) Attr {
	if v {
		return IntAttr(1)
	}
	return IntAttr(0)
}
