package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Gemm", Since: 7, Infer: inferGemm, Compile: compileGemm, VJP: gemmVJP})
}

// gemmProduct plans A'·B' of a Gemm node.
func gemmProduct(c *NodeCtx) (*product, error) {
	p, why := newProduct(c.In[0].Shape, c.In[1].Shape, c.AttrInt("transA", 0) != 0, c.AttrInt("transB", 0) != 0)
	if p == nil {
		return nil, badNode(c, "%s", why)
	}
	return p, nil
}

func inferGemm(c *NodeCtx) error {
	lo := 3
	if c.Node.Opset >= 11 {
		lo = 2
	}
	if err := checkArity(c, lo, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 3); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkRank(c, i, 2, 2); err != nil {
			return err
		}
	}
	p, err := gemmProduct(c)
	if err != nil {
		return err
	}
	if c.Has(2) {
		if s, ok := broadcastShape(p.shape, c.In[2].Shape); !ok || !equalShape(s, p.shape) {
			return badInput(c, 2, "of shape %v does not broadcast to %v", c.In[2].Shape, p.shape)
		}
	}
	return out1(c, c.In[0].DType, p.shape)
}

func compileGemm(c *NodeCtx) (Kernel, error) {
	p, err := gemmProduct(c)
	if err != nil {
		return Kernel{}, err
	}
	p.plan(c.In[0].Shape, c.In[1].Shape)
	alpha, beta := c.AttrFloat("alpha", 1), c.AttrFloat("beta", 1)
	if storage(c.In[0].DType) != tensor.F32 {
		return compileGemmPlain(c, p, alpha, beta)
	}
	extra, epilogue := gemmEpilogue(c, beta)
	return p.kernel(c, alpha, extra, epilogue), nil
}

// gemmEpilogue turns beta·C into a column bias where it is one vector, else into a residual of the output's shape.
func gemmEpilogue(c *NodeCtx, beta float32) (extra int, ep func(f *Frame, scratch []float32) kernel.Epilogue) {
	out := c.Out[0].Shape
	if !c.Has(2) || beta == 0 {
		return 0, func(*Frame, []float32) kernel.Epilogue { return kernel.Epilogue{} }
	}
	in := c.In[2].Shape
	vector := len(in) > 0 && in[len(in)-1] == out[1] && numElems(in) == out[1]
	if vector && beta == 1 {
		return 0, func(f *Frame, _ []float32) kernel.Epilogue {
			return kernel.Epilogue{ColBias: view[float32](f.In[2])}
		}
	}
	if equalShape(in, out) && beta == 1 {
		return 0, func(f *Frame, _ []float32) kernel.Epilogue {
			return kernel.Epilogue{Residual: view[float32](f.In[2])}
		}
	}
	n := numElems(out)
	b := newBcast(out, in)
	return n, func(f *Frame, scratch []float32) kernel.Epilogue {
		full := scratch[:n]
		scaleRows(b, full, view[float32](f.In[2]), beta)
		return kernel.Epilogue{Residual: full}
	}
}

// scaleRows writes beta times the broadcast of src.
func scaleRows[T number](b *bcast, dst, src []T, beta T) {
	step := b.step[0]
	b.rows(0, len(dst), func(at, n int, off []int) {
		for i, j := at, off[0]; i < at+n; i, j = i+1, j+step {
			dst[i] = beta * src[j]
		}
	})
}

func compileGemmPlain(c *NodeCtx, p *product, alpha, beta float32) (Kernel, error) {
	switch c.In[0].DType {
	case tensor.F64:
		return plainGemm(c, p, float64(alpha), float64(beta)), nil
	case tensor.I32:
		return plainGemm(c, p, int32(alpha), int32(beta)), nil
	case tensor.I64:
		return plainGemm(c, p, int64(alpha), int64(beta)), nil
	case tensor.U32:
		return plainGemm(c, p, uint32(alpha), uint32(beta)), nil
	case tensor.U64:
		return plainGemm(c, p, uint64(alpha), uint64(beta)), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

func plainGemm[T number](c *NodeCtx, p *product, alpha, beta T) Kernel {
	k := plainProduct[T](p)
	multiply := k.Run
	var b *bcast
	if c.Has(2) {
		b = newBcast(c.Out[0].Shape, c.In[2].Shape)
	}
	k.Run = func(f *Frame) error {
		if err := multiply(f); err != nil {
			return err
		}
		dst := view[T](f.Out[0])
		for i := range dst {
			dst[i] *= alpha
		}
		if b != nil {
			addScaled(b, dst, view[T](f.In[2]), beta)
		}
		return nil
	}
	return k
}

// addScaled adds beta times the broadcast of src.
func addScaled[T number](b *bcast, dst, src []T, beta T) {
	step := b.step[0]
	b.rows(0, len(dst), func(at, n int, off []int) {
		for i, j := at, off[0]; i < at+n; i, j = i+1, j+step {
			dst[i] += beta * src[j]
		}
	})
}

// gemmVJP: with Y = α·A'·B' + β·C, dA' = α·G·B'ᵀ, dB' = α·A'ᵀ·G and dC = β·G, each written so that its result lies as the
// operand does.
func gemmVJP(b *Backward) error {
	transA, transB := b.AttrInt("transA", 0) != 0, b.AttrInt("transB", 0) != 0
	a, w, g := b.X(0), b.X(1), b.G(0)
	product := func(l, r ValueID, transL, transR bool) ValueID {
		attrs := map[string]Attr{"alpha": FloatAttr(b.AttrFloat("alpha", 1)), "transA": boolAttr(transL), "transB": boolAttr(transR)}
		if b.OpsetVersion() < 11 { // C is required
			return b.OpA("Gemm", attrs, l, r, b.Scalar(b.In[0].DType, 0))
		}
		return b.OpA("Gemm", attrs, l, r)
	}
	switch {
	case !b.Needs(0):
	case transA:
		b.Give(0, product(w, g, transB, true))
	default:
		b.Give(0, product(g, w, false, !transB))
	}
	switch {
	case !b.Needs(1):
	case transB:
		b.Give(1, product(g, a, true, transA))
	default:
		b.Give(1, product(a, g, !transA, false))
	}
	if b.Needs(2) {
		b.Give(2, b.Scale(b.SumTo(g, b.In[2].Shape), float64(b.AttrFloat("beta", 1))))
	}
	return nil
}
