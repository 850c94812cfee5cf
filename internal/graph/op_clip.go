package graph

import (
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Clip", Since: 6, InPlace: []int{0}, Infer: inferClip, Compile: compileClip, VJP: clipVJP})
}

// inferClip: bounds are float attributes before opset 11, optional scalar inputs from then on.
func inferClip(c *NodeCtx) error {
	hi := 3
	if c.Node.Opset < 11 {
		hi = 1
	}
	if err := checkArity(c, 1, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkSameType(c, 0, len(c.In)); err != nil {
		return err
	}
	for i := 1; i < len(c.In); i++ {
		if c.Has(i) && c.In[i].Elems() != 1 {
			return badInput(c, i, "has shape %v, want a scalar", c.In[i].Shape)
		}
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileClip(c *NodeCtx) (Kernel, error) {
	if c.Node.Opset < 11 {
		return compileClipAttrs(c)
	}
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return clipKernel[float32](c), nil
	case tensor.F64:
		return clipKernel[float64](c), nil
	case tensor.I8:
		return clipKernel[int8](c), nil
	case tensor.I16:
		return clipKernel[int16](c), nil
	case tensor.I32:
		return clipKernel[int32](c), nil
	case tensor.I64:
		return clipKernel[int64](c), nil
	case tensor.U8:
		return clipKernel[uint8](c), nil
	case tensor.U16:
		return clipKernel[uint16](c), nil
	case tensor.U32:
		return clipKernel[uint32](c), nil
	}
	return clipKernel[uint64](c), nil
}

// compileClipAttrs serves opsets 6 to 10, which allow floats only.
func compileClipAttrs(c *NodeCtx) (Kernel, error) {
	lo, hasLo := c.Attr("min")
	hi, hasHi := c.Attr("max")
	switch c.In[0].DType {
	case tensor.F32, tensor.F16, tensor.BF16:
		return mapKernel(func(x float32) float32 { return clamp(x, lo.F, hi.F, hasLo, hasHi) }), nil
	case tensor.F64:
		return mapKernel(func(x float64) float64 { return clamp(x, float64(lo.F), float64(hi.F), hasLo, hasHi) }), nil
	}
	return Kernel{}, badInput(c, 0, "has type %v, want %v before opset 11", c.In[0].DType, classFloat)
}

func clipKernel[T number](c *NodeCtx) Kernel {
	hasLo, hasHi := c.Has(1), c.Has(2)
	return run(func(f *Frame) {
		var lo, hi T
		if hasLo {
			lo = view[T](f.In[1])[0]
		}
		if hasHi {
			hi = view[T](f.In[2])[0]
		}
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		chunks(f.Pool, len(dst), func(from, to int) {
			for i := from; i < to; i++ {
				dst[i] = clamp(src[i], lo, hi, hasLo, hasHi)
			}
		})
	})
}

// clamp is min(max(x, lo), hi): the upper bound wins when the bounds cross. NaN stays NaN.
func clamp[T number](x, lo, hi T, hasLo, hasHi bool) T {
	if hasLo && x < lo {
		x = lo
	}
	if hasHi && x > hi {
		x = hi
	}
	return x
}

// clipVJP follows torch.clamp. Constant bounds are numbers there: x passes the cotangent on inside the bounds, not on
// them. Computed bounds are tensors, and share it evenly with an equal x.
func clipVJP(b *Backward) error {
	lo, hi := b.X(1), b.X(2)
	if b.Node.Opset < 11 {
		lo, hi = b.clipAttr("min"), b.clipAttr("max")
	}
	for _, bound := range []ValueID{lo, hi} {
		if bound != None && b.Known(bound) == nil {
			clipTensorVJP(b, lo, hi)
			return nil
		}
	}
	inside := None
	if lo != None {
		inside = b.Op("Greater", b.X(0), lo)
	}
	if hi != None {
		if below := b.Op("Less", b.X(0), hi); inside == None {
			inside = below
		} else {
			inside = b.Op("And", inside, below)
		}
	}
	if inside == None {
		b.Give(0, b.G(0))
		return nil
	}
	b.Give(0, b.keepIf(inside, b.G(0)))
	return nil
}

// clipTensorVJP is that of min(max(x, lo), hi).
func clipTensorVJP(b *Backward, lo, hi ValueID) {
	g, x := b.G(0), b.X(0)
	if hi != None {
		raised := x
		if lo != None {
			raised = b.Op("Max", x, lo)
		}
		inner := b.shareOf("Less", raised, hi, g)
		if b.Needs(2) {
			b.Give(2, b.Reshape(b.sumAll(b.sub(g, inner)), b.In[2].Shape...))
		}
		g = inner
	}
	if lo != None {
		inner := b.shareOf("Greater", x, lo, g)
		if b.Needs(1) {
			b.Give(1, b.Reshape(b.sumAll(b.sub(g, inner)), b.In[1].Shape...))
		}
		g = inner
	}
	b.Give(0, g)
}

// shareOf is g where x is Less or Greater than y, half of it where they are equal, 0 elsewhere.
func (b *Backward) shareOf(than string, x, y, g ValueID) ValueID {
	return b.where(b.Op("Equal", x, y), b.Scale(g, 0.5), b.keepIf(b.Op(than, x, y), g))
}

// clipAttr is a bound of opsets before 11, None when it is not set.
func (b *Backward) clipAttr(name string) ValueID {
	if _, ok := b.Attr(name); !ok {
		return None
	}
	return b.num(float64(b.AttrFloat(name, 0)))
}
