package vec

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Polynomials come from ../fit/fit.py.

// Exp is e^v to about 1 ULP, with v clamped to where the result is 0 or infinite.
func (x *ISA) Exp(v R) R {
	return x.expOf(x.AtLeast(x.AtMost(v, 89), -104), 0.50000001, 0.166665129, 0.0416661873, 0.00836959842, 0.00139517172)
}

// ExpNegative is e^v for v ≤ 0 to about 2 ULP: the one inside softmax.
func (x *ISA) ExpNegative(v R) R {
	return x.expOf(x.AtLeast(v, -104), 0.49999112, 0.166664503, 0.0419029726, 0.00837532988)
}

// expOf splits v = n·ln 2 + r, n whole and |r| ≤ ln 2 / 2: e^v = 2^n·(1 + r + r²·Q(r)).
// ln 2 comes in two parts, the first short enough that n times it is exact.
func (x *ISA) expOf(v R, q ...float64) R {
	const ln2High = 0x1.62e4p-1
	n := x.round(x.Mul(x.Const(1/math.Ln2), v))
	r := x.Copy(v)
	VFNMADD231PS(x.Const(ln2High), n, r)
	VFNMADD231PS(x.Const(math.Ln2-ln2High), n, r)
	p := x.Poly(r, append([]float64{1, 1}, q...)...)
	return x.scale(p, n)
}

// round rounds to the nearest whole number.
func (x *ISA) round(v R) R {
	n := x.New()
	const nearestQuiet = 8
	if x.Wide() {
		VRNDSCALEPS(Imm(nearestQuiet), v, n)
	} else {
		VROUNDPS(Imm(nearestQuiet), v, n)
	}
	return n
}

// scale is p·2^n. Without a scaling instruction it takes two factors, so that neither
// overflows and a denormal result is rounded once.
func (x *ISA) scale(p, n R) R {
	if x.Wide() {
		return x.Op2(func(o ...Op) { VSCALEFPS(o...) }, n, p)
	}
	whole, half := x.New(), x.New()
	VCVTPS2DQ(n, whole)
	VPSRAD(Imm(1), whole, half)
	rest := x.New()
	VPSUBD(half, whole, rest)
	for _, e := range []R{half, rest} {
		VPADDD(x.Bits(127), e, e)
		VPSLLD(Imm(23), e, e)
	}
	return x.Mul(rest, x.Mul(half, p))
}

// gate is a·sigmoid(v), from e = exp(-|v|) so that nothing overflows or cancels:
// a/(1+e) for positive v, a·e/(1+e) for negative.
func (x *ISA) gate(a, v R) R {
	e := x.expMinus(x.Op2(VORPS, x.Bits(signBit), v))
	num := x.Negative(v, x.Mul(e, a), a)
	return x.Div(x.Add(x.Const(1), e), num)
}

// expMinus is Exp for v ≤ 0: one clamp less.
func (x *ISA) expMinus(v R) R {
	return x.expOf(x.AtLeast(v, -104), 0.50000001, 0.166665129, 0.0416661873, 0.00836959842, 0.00139517172)
}

// Sigmoid is 1/(1+e^-v).
func (x *ISA) Sigmoid(v R) R { return x.gate(x.Load(1), v) }

// Silu is v·sigmoid(v).
func (x *ISA) Silu(v R) R { return x.gate(v, v) }

// QuickGelu is v·sigmoid(1.702·v).
func (x *ISA) QuickGelu(v R) R { return x.gate(v, x.Mul(x.Const(1.702), v)) }

// GeluTanh is v·sigmoid(2u), u = √(2/π)·(v + 0.044715·v³).
func (x *ISA) GeluTanh(v R) R {
	c := 2 * math.Sqrt(2/math.Pi)
	s := x.Mul(v, v)
	return x.gate(v, x.Mul(v, x.Poly(s, c, 0.044715*c)))
}

// Tanh is an odd polynomial near 0, 1 - 2/(e^2|v| + 1) elsewhere.
func (x *ISA) Tanh(v R) R {
	s := x.Mul(v, v)
	p := x.Poly(s, -0.333332993, 0.133319582, -0.0537866813, 0.0208053773, -0.00590586035)
	small := x.MulAdd(x.Mul(s, v), p, v)
	a := x.Abs(v)
	e := x.Exp(x.Add(a, a))
	big := x.Sub(x.Div(x.Add(x.Const(1), e), x.Load(2)), x.Load(1))
	return x.Less(a, 0.6, small, x.WithSign(big, v))
}

// Erf is an odd polynomial near 0, 1 - e^(-t·Q(t)) with t = |v| elsewhere.
func (x *ISA) Erf(v R) R {
	p := x.Poly(x.Mul(v, v), 0.128379167, -0.376126337, 0.112836939, -0.0268592708, 0.0052006343, -0.000813743754, 8.3452248e-05)
	small := x.MulAdd(p, v, v)
	a := x.Abs(v)
	t := x.AtMost(a, 4)
	q := x.Poly(t, 1.12855175, 0.635625273, 0.1052627, -0.0226741384, 0.00293015761, -4.95867446e-05, -4.55811897e-05, 4.93821498e-06)
	e := x.expMinus(x.Neg(x.Mul(q, t)))
	return x.Less(a, 0.925, small, x.WithSign(x.Sub(e, x.Load(1)), v))
}

// SiluSlope is the derivative of v·sigmoid(v): σ + v·σ·(1-σ), with e = exp(-|v|) and r = 1/(1+e) it is r + v·e·r² for positive v
// and e·r + v·e·r² for negative.
func (x *ISA) SiluSlope(v R) R {
	a := x.AtMost(x.Abs(v), 104)
	e := x.expMinus(x.Neg(a))
	r := x.Div(x.Add(x.Const(1), e), x.Load(1))
	er := x.Mul(e, r)
	return x.MulAdd(x.Mul(er, r), x.WithSign(a, v), x.Negative(v, er, r))
}

// Gelu is v·Φ(v).
func (x *ISA) Gelu(v R) R {
	phi, _, _ := x.normal(v)
	return x.Mul(phi, v)
}

// GeluSlope is the derivative of v·Φ(v): Φ(v) + v·φ(v).
func (x *ISA) GeluSlope(v R) R { return x.geluSlope(x.normal(v)) }

func (x *ISA) geluSlope(phi, e, t R) R {
	return x.MulAdd(x.Mul(x.Const(0.3989422804014327), t), e, phi)
}

// GeluBoth are Gelu and GeluSlope together.
func (x *ISA) GeluBoth(v R) (gelu, slope R) {
	phi, e, t := x.normal(v)
	return x.Mul(phi, v), x.geluSlope(phi, e, t)
}

// normal gives the distribution function Φ(v) = ½·erfc(|v|/√2) for negative v and 1 minus that for positive, with
// erfc(z) = e^(-z²)·u·P(u), u = 1/(1+z/2); the e^(-v²/2) in it; and v clamped. The rounding error of v² is carried along,
// because e^(-v²/2) would magnify it.
func (x *ISA) normal(v R) (phi, e, clamped R) {
	a := x.AtMost(x.Abs(v), 14.8)
	u := x.Div(x.MulAdd(a, x.Load(0.5/math.Sqrt2), x.Const(1)), x.Load(1))
	p := x.Poly(u, 0.282067808, 0.282787138, 0.23926896, 0.222443698, -0.0888699898, 0.402863795, -0.647022506,
		0.411108797, -0.115461825, 0.0108141028)
	sq := x.Mul(a, a)
	low := x.Copy(a)
	VFMSUB213PS(sq, a, low)
	e = x.expMinus(x.Mul(x.Const(-0.5), sq))
	// h = ½·e·u·p·(1 - low/2)
	h := x.Mul(x.Mul(u, p), x.Mul(x.Const(0.5), e))
	VFMADD213PS(x.Const(1), x.Load(-0.5), low)
	h = x.Mul(low, h)
	return x.Negative(v, h, x.Sub(h, x.Load(1))), e, x.WithSign(a, v)
}
