package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Pow", Since: 7, InPlace: []int{0}, Infer: inferPow, Compile: compilePow, VJP: powVJP})
}

// inferPow allows the exponent another type than the base; the result has the base's type.
func inferPow(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkClass(c, i, classNumber); err != nil {
			return err
		}
	}
	shape, err := inferBroadcast(c, 0, 2)
	if err != nil {
		return err
	}
	return out1(c, c.In[0].DType, shape)
}

// compilePow has vector loops for the constant exponents of real networks (x², √x, 1/x, x³); everything else is
// computed in float64, integers to integer exponents exactly.
func compilePow(c *NodeCtx) (Kernel, error) {
	base, exp := storage(c.In[0].DType), storage(c.In[1].DType)
	if base == tensor.F32 {
		if e, ok := c.ConstScalar(1); ok && equalShape(c.Out[0].Shape, c.In[0].Shape) {
			if fn := powConst(e); fn != nil {
				return unaryKernel(tensor.F32, fn, nil), nil
			}
		}
	}
	switch exp {
	case tensor.F32:
		return powTo[float32](c, base)
	case tensor.F64:
		return powTo[float64](c, base)
	case tensor.I32:
		return powTo[int32](c, base)
	case tensor.I64:
		return powTo[int64](c, base)
	case tensor.I8:
		return powTo[int8](c, base)
	case tensor.I16:
		return powTo[int16](c, base)
	case tensor.U8:
		return powTo[uint8](c, base)
	case tensor.U16:
		return powTo[uint16](c, base)
	case tensor.U32:
		return powTo[uint32](c, base)
	}
	return powTo[uint64](c, base)
}

func powTo[E number](c *NodeCtx, base tensor.DType) (Kernel, error) {
	switch base {
	case tensor.F32:
		return binaryKernel(c, func(x float32, e E) float32 { return float32(math.Pow(float64(x), float64(e))) }), nil
	case tensor.F64:
		return binaryKernel(c, func(x float64, e E) float64 { return math.Pow(x, float64(e)) }), nil
	case tensor.I32:
		return binaryKernel(c, powInt[int32, E]), nil
	case tensor.I64:
		return binaryKernel(c, powInt[int64, E]), nil
	}
	return Kernel{}, c.Refuse("", "base of type "+c.In[0].DType.String())
}

// powInt multiplies repeatedly for non-negative whole exponents, so that 64-bit results stay exact.
func powInt[T int32 | int64, E number](x T, e E) T {
	if e < 0 || float64(e) != math.Trunc(float64(e)) {
		return T(math.Pow(float64(x), float64(e)))
	}
	r := T(1)
	for n := uint64(e); n > 0; n >>= 1 {
		if n&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}

// powConst returns a vector loop for the exponent e, or nil.
func powConst(e float64) func(dst, src []float32) {
	switch e {
	case 2:
		return func(dst, src []float32) { kernel.Mul(dst, src, src) }
	case 0.5:
		return kernel.Sqrt
	case -1:
		return kernel.Reciprocal
	case 3:
		return func(dst, src []float32) {
			for i, v := range src {
				dst[i] = v * v * v
			}
		}
	}
	return nil
}

// powVJP: ∂aᵉ = (e·aᵉ⁻¹, aᵉ·ln a). Zero is taken out where the formulas have 0·∞: an exponent of 0 passes nothing to the
// base, and a base of 0 nothing to an exponent that is not negative.
func powVJP(b *Backward) error {
	if b.Needs(0) {
		b.Give(0, powBaseGrad(b))
	}
	if b.Needs(1) {
		a, e := b.X(0), b.cast(b.X(1), b.In[0].DType)
		zero := b.Op("And", b.Op("Equal", a, b.num(0)), b.Op("Not", b.less(e, 0)))
		d := b.dropIf(zero, b.mul(b.G(0), b.mul(b.Y(0), b.Op("Log", a))))
		b.Give(1, b.cast(b.SumTo(d, b.In[1].Shape), b.In[1].DType))
	}
	return nil
}

// powBaseGrad has short forms for the constant exponents of real networks.
func powBaseGrad(b *Backward) ValueID {
	g, a := b.G(0), b.X(0)
	e, known := b.ConstScalar(1)
	switch {
	case !known:
		exp := b.cast(b.X(1), b.In[0].DType)
		d := b.mul(g, b.mul(exp, b.Op("Pow", a, b.plus(exp, -1))))
		return b.dropIf(b.Op("Equal", exp, b.num(0)), d)
	case e == 0:
		return None
	case e == 1:
		return g
	case e == 2:
		return b.mul(b.Scale(g, 2), a)
	case e == 3:
		return b.mul(b.Scale(g, 3), b.square(a))
	case e == 0.5:
		return b.div(b.Scale(g, 0.5), b.Y(0))
	case e == -1:
		return b.Op("Neg", b.mul(g, b.square(b.Y(0))))
	}
	return b.mul(b.Scale(g, e), b.Op("Pow", a, b.num(e-1)))
}
