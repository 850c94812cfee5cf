package graph

import (
	"winnow/internal/kernel"
)

func init() {
	Register(Operator{Name: "GEGLUGrad", Domain: Domain, Since: 1, Infer: inferGEGLUGrad, Compile: compileGEGLUGrad})
}

// inferGEGLUGrad takes GEGLU's x [..., 2n] and dy [..., n].
func inferGEGLUGrad(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	in := c.In
	c.In = in[:1]
	err := inferGEGLU(c)
	c.In = in
	if err != nil {
		return err
	}
	if want := c.Out[0]; !in[1].Equal(want) {
		return badInput(c, 1, "is %v, want %v", in[1].Type, want)
	}
	return out1(c, in[0].DType, in[0].Shape)
}

// compileGEGLUGrad: y = a·act(b), so da = dy·act(b) and db = dy·a·act'(b).
func compileGEGLUGrad(c *NodeCtx) (Kernel, error) {
	act, err := actOf(c, "gelu")
	if err != nil {
		return Kernel{}, err
	}
	n := c.In[1].Shape[len(c.In[1].Shape)-1]
	gateFirst := c.AttrInt("gate_first", 0) != 0
	return run(func(f *Frame) {
		dx, x, dy := view[float32](f.Out[0]), view[float32](f.In[0]), view[float32](f.In[1])
		if n == 0 {
			return
		}
		rowTasks(f.Pool, len(dy)/n, n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				a, b := 2*r*n, (2*r+1)*n
				if gateFirst {
					a, b = b, a
				}
				act.GEGLUBackward(dx[a:], dx[b:], x[a:], x[b:], dy[r*n:][:n])
			}
		})
	}), nil
}

// gegluVJP without operators of Winnow's own works on the two halves.
func gegluVJP(b *Backward) error {
	if b.fusable() {
		b.Give(0, b.OpA("winnow.GEGLUGrad", b.Node.Attrs, b.X(0), b.G(0)))
		return nil
	}
	act, err := actOf(b.NodeCtx, "gelu")
	if err != nil {
		return err
	}
	axis := len(b.In[0].Shape) - 1
	n := b.Out[0].Shape[axis]
	first, second := b.Slice(b.X(0), axis, 0, n), b.Slice(b.X(0), axis, n, 2*n)
	gateFirst := b.AttrInt("gate_first", 0) != 0
	value, gate := first, second
	if gateFirst {
		value, gate = second, first
	}
	dValue := b.mul(b.G(0), b.actAt(act, gate))
	dGate := b.actGradAt(act, gate, None, b.mul(b.G(0), value))
	parts := []ValueID{dValue, dGate}
	if gateFirst {
		parts = []ValueID{dGate, dValue}
	}
	b.Give(0, b.concat(axis, parts...))
	return nil
}

// actAt spells an activation out in operators of every opset.
func (b *Backward) actAt(act kernel.Act, x ValueID) ValueID {
	switch act {
	case kernel.ActSilu:
		return b.mul(x, b.Op("Sigmoid", x))
	case kernel.ActQuickGelu:
		return b.mul(x, b.Op("Sigmoid", b.Scale(x, quickGeluAlpha)))
	case kernel.ActGelu:
		return b.mul(x, b.plus(b.Scale(b.Op("Erf", b.Scale(x, invSqrt2)), 0.5), 0.5))
	case kernel.ActGeluTanh:
		inner := b.mul(x, b.plus(b.Scale(b.square(x), sqrt2ByPi*geluCubic), sqrt2ByPi))
		return b.mul(b.Scale(x, 0.5), b.plus(b.Op("Tanh", inner), 1))
	case kernel.ActRelu:
		return b.Op("Relu", x)
	case kernel.ActSigmoid:
		return b.Op("Sigmoid", x)
	case kernel.ActTanh:
		return b.Op("Tanh", x)
	}
	return x
}
