package graph

import (
	"math"

	"winnow/internal/kernel"
)

// activation describes an elementwise function with float attributes: make reads them once at compile time.
type activation struct {
	name  string
	since int
	make  func(c *NodeCtx) (f32 func(dst, src []float32), f64 func(float64) float64, err error)
	grad  func(b *Backward) ValueID // gradient of the input
}

type (
	vecFunc = func(dst, src []float32)
	mapFunc = func(float64) float64
)

var activations = []activation{
	{"LeakyRelu", 1, scalarAct(func(c *NodeCtx) mapFunc {
		alpha := float64(c.AttrFloat("alpha", 0.01))
		return func(x float64) float64 {
			if x < 0 {
				return alpha * x
			}
			return x
		}
	}), leakyReluGrad},
	{"ThresholdedRelu", 10, scalarAct(func(c *NodeCtx) mapFunc {
		alpha := float64(c.AttrFloat("alpha", 1))
		return func(x float64) float64 {
			if x > alpha {
				return x
			}
			return 0
		}
	}), thresholdedReluGrad},
	{"Elu", 1, scalarAct(func(c *NodeCtx) mapFunc {
		alpha := float64(c.AttrFloat("alpha", 1))
		return func(x float64) float64 {
			if x < 0 {
				return alpha * math.Expm1(x)
			}
			return x
		}
	}), eluGrad},
	{"Selu", 1, scalarAct(func(c *NodeCtx) mapFunc {
		alpha := float64(c.AttrFloat("alpha", 1.67326319217681884765625))
		gamma := float64(c.AttrFloat("gamma", 1.05070102214813232421875))
		return func(x float64) float64 {
			if x <= 0 {
				return gamma * alpha * math.Expm1(x)
			}
			return gamma * x
		}
	}), seluGrad},
	{"Celu", 12, scalarAct(func(c *NodeCtx) mapFunc {
		alpha := float64(c.AttrFloat("alpha", 1))
		return func(x float64) float64 { return math.Max(0, x) + math.Min(0, alpha*math.Expm1(x/alpha)) }
	}), celuGrad},
	{"HardSigmoid", 1, scalarAct(func(c *NodeCtx) mapFunc {
		alpha, beta := float64(c.AttrFloat("alpha", 0.2)), float64(c.AttrFloat("beta", 0.5))
		return func(x float64) float64 { return math.Max(0, math.Min(1, alpha*x+beta)) }
	}), hardSigmoidGrad},
	{"Shrink", 9, scalarAct(func(c *NodeCtx) mapFunc {
		bias, lambd := float64(c.AttrFloat("bias", 0)), float64(c.AttrFloat("lambd", 0.5))
		return func(x float64) float64 {
			switch {
			case x < -lambd:
				return x + bias
			case x > lambd:
				return x - bias
			}
			return 0
		}
	}), shrinkGrad},
	{"Swish", 24, swishAct, swishGrad},
	{"Gelu", 20, geluAct, geluGrad},
}

func init() {
	for _, a := range activations {
		Register(activationOp(a))
	}
}

// activationOp turns a table row into an operator.
func activationOp(a activation) Operator {
	types := classFloat
	if a.name == "Shrink" {
		types = classNumber
	}
	return Operator{
		Name: a.name, Since: a.since, InPlace: []int{0},
		Infer: func(c *NodeCtx) error { return inferUnary(c, types) },
		Compile: func(c *NodeCtx) (Kernel, error) {
			if classOf(c.In[0].DType) == classInt {
				return Kernel{}, c.Refuse("", "integer input")
			}
			f32, f64, err := a.make(c)
			if err != nil {
				return Kernel{}, err
			}
			return unaryKernel(c.In[0].DType, f32, f64), nil
		},
		VJP: elementwise(a.grad),
	}
}

func scalarAct(make func(c *NodeCtx) mapFunc) func(c *NodeCtx) (vecFunc, mapFunc, error) {
	return func(c *NodeCtx) (vecFunc, mapFunc, error) { return nil, make(c), nil }
}

// swishAct is x·sigmoid(alpha·x), alpha 1 by default.
func swishAct(c *NodeCtx) (vecFunc, mapFunc, error) {
	alpha := float64(c.AttrFloat("alpha", 1))
	f64 := func(x float64) float64 { return x * sigmoid(alpha*x) }
	if alpha == 1 {
		return kernel.Silu, f64, nil
	}
	return nil, f64, nil
}

// geluAct reads attribute approximate: "none" is the error-function form, "tanh" its approximation.
func geluAct(c *NodeCtx) (vecFunc, mapFunc, error) {
	switch approx := c.AttrString("approximate", "none"); approx {
	case "none", "":
		return kernel.Gelu, gelu, nil
	case "tanh":
		return kernel.GeluTanh, geluTanh, nil
	default:
		return nil, nil, c.Refuse("approximate", "want none or tanh, not "+approx)
	}
}

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

// geluTanh is equation 2 of Hendrycks and Gimpel, "Gaussian Error Linear Units".
func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func leakyReluGrad(b *Backward) ValueID {
	alpha := float64(b.AttrFloat("alpha", 0.01))
	return b.where(b.greater(b.X(0), 0), b.G(0), b.Scale(b.G(0), alpha))
}

func thresholdedReluGrad(b *Backward) ValueID {
	return b.keepIf(b.greater(b.X(0), float64(b.AttrFloat("alpha", 1))), b.G(0))
}

func eluGrad(b *Backward) ValueID { return b.eluGradOf(1, float64(b.AttrFloat("alpha", 1)), 1) }

func seluGrad(b *Backward) ValueID {
	alpha := float64(b.AttrFloat("alpha", 1.67326319217681884765625))
	gamma := float64(b.AttrFloat("gamma", 1.05070102214813232421875))
	return b.eluGradOf(gamma, gamma*alpha, 1)
}

func celuGrad(b *Backward) ValueID {
	return b.eluGradOf(1, 1, 1/float64(b.AttrFloat("alpha", 1)))
}

// eluGradOf is g·above for positive x and g·below·exp(rate·x) elsewhere.
func (b *Backward) eluGradOf(above, below, rate float64) ValueID {
	slope := b.Scale(b.Op("Exp", b.Scale(b.X(0), rate)), below)
	return b.where(b.greater(b.X(0), 0), b.Scale(b.G(0), above), b.mul(b.G(0), slope))
}

// hardSigmoidGrad is zero where the result is clipped, the bounds included.
func hardSigmoidGrad(b *Backward) ValueID {
	inside := b.Op("And", b.greater(b.Y(0), 0), b.less(b.Y(0), 1))
	return b.keepIf(inside, b.Scale(b.G(0), float64(b.AttrFloat("alpha", 0.2))))
}

func shrinkGrad(b *Backward) ValueID {
	return b.keepIf(b.greater(b.Op("Abs", b.X(0)), float64(b.AttrFloat("lambd", 0.5))), b.G(0))
}

func swishGrad(b *Backward) ValueID {
	alpha := b.AttrFloat("alpha", 1)
	if alpha == 1 {
		return b.actGradAt(kernel.ActSilu, b.X(0), None, b.G(0))
	}
	return b.swishGradAt(float64(alpha), b.X(0), b.G(0))
}

func geluGrad(b *Backward) ValueID {
	act := kernel.ActGelu
	if b.AttrString("approximate", "none") == "tanh" {
		act = kernel.ActGeluTanh
	}
	return b.actGradAt(act, b.X(0), None, b.G(0))
}
