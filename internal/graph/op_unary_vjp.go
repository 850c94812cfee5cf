package graph

import "math"

// Gradients of the functions of op_unary.go. They read the result where that saves work.

func absGrad(b *Backward) ValueID { return b.mul(b.G(0), b.Op("Sign", b.X(0))) }

func reciprocalGrad(b *Backward) ValueID { return b.Op("Neg", b.mul(b.G(0), b.square(b.Y(0)))) }

func sinGrad(b *Backward) ValueID { return b.mul(b.G(0), b.Op("Cos", b.X(0))) }

func cosGrad(b *Backward) ValueID { return b.Op("Neg", b.mul(b.G(0), b.Op("Sin", b.X(0)))) }

func tanGrad(b *Backward) ValueID { return b.mul(b.G(0), b.plus(b.square(b.Y(0)), 1)) }

func asinGrad(b *Backward) ValueID {
	return b.div(b.G(0), b.Op("Sqrt", b.oneMinus(b.square(b.X(0)))))
}

func acosGrad(b *Backward) ValueID { return b.Op("Neg", asinGrad(b)) }

func atanGrad(b *Backward) ValueID { return b.div(b.G(0), b.plus(b.square(b.X(0)), 1)) }

func sinhGrad(b *Backward) ValueID { return b.mul(b.G(0), b.Op("Cosh", b.X(0))) }

func coshGrad(b *Backward) ValueID { return b.mul(b.G(0), b.Op("Sinh", b.X(0))) }

func asinhGrad(b *Backward) ValueID {
	return b.div(b.G(0), b.Op("Sqrt", b.plus(b.square(b.X(0)), 1)))
}

func acoshGrad(b *Backward) ValueID {
	return b.div(b.G(0), b.Op("Sqrt", b.plus(b.square(b.X(0)), -1)))
}

func atanhGrad(b *Backward) ValueID { return b.div(b.G(0), b.oneMinus(b.square(b.X(0)))) }

func erfGrad(b *Backward) ValueID {
	return b.mul(b.Scale(b.G(0), 2/math.Sqrt(math.Pi)), b.Op("Exp", b.Op("Neg", b.square(b.X(0)))))
}

func softplusGrad(b *Backward) ValueID { return b.mul(b.G(0), b.Op("Sigmoid", b.X(0))) }

func softsignGrad(b *Backward) ValueID {
	return b.div(b.G(0), b.square(b.plus(b.Op("Abs", b.X(0)), 1)))
}

// hardSwishGrad is 0 up to -3, x/3 + 1/2 inside and 1 from 3 on.
func hardSwishGrad(b *Backward) ValueID {
	inner := b.mul(b.G(0), b.plus(b.Scale(b.X(0), 1.0/3), 0.5))
	return b.keepIf(b.greater(b.X(0), -3), b.where(b.less(b.X(0), 3), inner, b.G(0)))
}

// mishGrad: with t = tanh(softplus(x)), t + x·sigmoid(x)·(1 - t²).
func mishGrad(b *Backward) ValueID {
	x := b.X(0)
	t := b.Op("Tanh", b.Op("Softplus", x))
	return b.mul(b.G(0), b.add(t, b.mul(b.mul(x, b.Op("Sigmoid", x)), b.oneMinus(b.square(t)))))
}
