package graph

import (
	"fmt"
	"math"

	"winnow/internal/kernel"
)

func init() {
	Register(Operator{
		Name: "ActGrad", Domain: Domain, Since: 1, InPlace: []int{1, 0}, Infer: inferActGrad, Compile: compileActGrad,
	})
}

// inferActGrad takes x and dy of one shape.
func inferActGrad(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 2); err != nil {
		return err
	}
	if err := checkShape(c, 1, c.In[0].Shape...); err != nil {
		return err
	}
	if _, err := actOf(c, ""); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileActGrad(c *NodeCtx) (Kernel, error) {
	act, err := actOf(c, "")
	if err != nil {
		return Kernel{}, err
	}
	return run(func(f *Frame) {
		dst, x, dy := view[float32](f.Out[0]), view[float32](f.In[0]), view[float32](f.In[1])
		chunks(f.Pool, len(dst), func(lo, hi int) { act.Backward(dst[lo:hi], x[lo:hi], dy[lo:hi]) })
	}), nil
}

// Constants of the two forms of GELU.
const (
	invSqrt2   = 1 / math.Sqrt2
	invSqrt2Pi = 0.39894228040143267793994605993438 // 1/√(2π), the peak of the normal density
	sqrt2ByPi  = 2 * invSqrt2Pi                     // √(2/π)
	geluCubic  = 0.044715
)

// quickGeluAlpha is the factor of the activation quick_gelu.
const quickGeluAlpha = 1.702

// actGrad is the gradient of an activation with the given kernel: fused where that is allowed, otherwise spelled out.
func actGrad(act kernel.Act) func(b *Backward) ValueID {
	return func(b *Backward) ValueID { return b.actGradAt(act, b.X(0), b.Y(0), b.G(0)) }
}

// actGradAt is g·act'(x). y is act(x), None when it is not at hand.
func (b *Backward) actGradAt(act kernel.Act, x, y, g ValueID) ValueID {
	alpha := b.AttrFloat("alpha", quickGeluAlpha)
	if b.fusable() && (act != kernel.ActQuickGelu || alpha == quickGeluAlpha) {
		return b.OpA("winnow.ActGrad", map[string]Attr{"act": StringAttr(act.String())}, x, g)
	}
	switch act {
	case kernel.ActNone:
		return g
	case kernel.ActSilu:
		return b.swishGradAt(1, x, g)
	case kernel.ActQuickGelu:
		return b.swishGradAt(float64(alpha), x, g)
	case kernel.ActGelu:
		return b.geluGradAt(x, g)
	case kernel.ActGeluTanh:
		return b.geluTanhGradAt(x, g)
	case kernel.ActRelu:
		return b.keepIf(b.greater(x, 0), g)
	case kernel.ActSigmoid:
		if y == None {
			y = b.Op("Sigmoid", x)
		}
		return b.mul(g, b.mul(y, b.oneMinus(y)))
	case kernel.ActTanh:
		if y == None {
			y = b.Op("Tanh", x)
		}
		return b.mul(g, b.oneMinus(b.square(y)))
	}
	b.fail(fmt.Errorf("%s: internal fault: activation %v has no gradient", b.n.Label(), act))
	return None
}

// swishGradAt is g·s·(1 + alpha·x·(1 - s)) with s = sigmoid(alpha·x).
func (b *Backward) swishGradAt(alpha float64, x, g ValueID) ValueID {
	ax := b.Scale(x, alpha)
	s := b.Op("Sigmoid", ax)
	return b.mul(b.mul(g, s), b.plus(b.mul(ax, b.oneMinus(s)), 1))
}

// geluGradAt is g·(Φ(x) + x·φ(x)).
func (b *Backward) geluGradAt(x, g ValueID) ValueID {
	phi := b.Scale(b.Op("Exp", b.Scale(b.square(x), -0.5)), invSqrt2Pi)
	cdf := b.plus(b.Scale(b.Op("Erf", b.Scale(x, invSqrt2)), 0.5), 0.5)
	return b.mul(g, b.add(cdf, b.mul(x, phi)))
}

// geluTanhGradAt: with h = tanh(k·(x + c·x³)), g·½·(1 + h + x·(1 - h²)·k·(1 + 3c·x²)).
func (b *Backward) geluTanhGradAt(x, g ValueID) ValueID {
	const k, c = sqrt2ByPi, geluCubic
	x2 := b.square(x)
	h := b.Op("Tanh", b.mul(x, b.plus(b.Scale(x2, k*c), k)))
	inner := b.mul(b.mul(x, b.oneMinus(b.square(h))), b.plus(b.Scale(x2, 3*k*c), k))
	return b.Scale(b.mul(g, b.add(b.plus(h, 1), inner)), 0.5)
}
