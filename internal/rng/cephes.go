package rng

import "math"

// Single-precision log, sin and cos by the polynomials of the Cephes library (Moshier 1984 to 1992), arranged as in the
// AVX2 code that torch calls for normal numbers (aten/src/ATen/native/cpu/avx_mathfun.h, after Pommier's sse_mathfun).
// Every operation is rounded to float32, and the multiply-adds are fused where the compiler of torch's releases fuses
// them: with that choice 2^20 numbers are equal bit for bit, with any other that was tried some are not.

// fma is a·b + c rounded once. The product is exact in float64, so only the sum is rounded there and once more here; the
// second rounding can be wrong when the first one ends on a tie, once in about 2^29 operations.
func fma(a, b, c float32) float32 {
	return float32(float64(a)*float64(b) + float64(c))
}

// log1 is the natural logarithm of a positive, normal number.
func log1(x float32) float32 {
	bits := math.Float32bits(x)
	exponent := float32(int(bits>>23) - 126)
	m := math.Float32frombits(bits&^0x7f800000 | 0x3f000000) // the mantissa, in [0.5, 1)
	if m < float32(math.Sqrt2/2) {
		exponent--
		m = float32(m-1) + m
	} else {
		m--
	}
	z := float32(m * m)
	y := float32(7.0376836292e-2)
	for _, c := range [...]float32{
		-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
	} {
		y = fma(y, m, c)
	}
	// log 2 in two parts, so that the larger product is exact.
	const ln2Low, ln2High = -2.12194440e-4, 0.693359375
	y = fma(float32(y*m), z, float32(exponent*ln2Low))
	y = fma(z, -0.5, y)
	return fma(exponent, ln2High, m+y)
}

// sincos is the sine and cosine of an angle from 0 to a few turns.
func sincos(x float32) (sin, cos float32) {
	octant := int(float32(x * float32(4/math.Pi)))
	octant = (octant + 1) &^ 1
	y := float32(octant)
	// Take off octant·π/4, in three parts.
	for _, part := range [...]float32{-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8} {
		x = fma(y, part, x)
	}
	z := float32(x * x)
	c := fma(2.443315711809948e-5, z, -1.388731625493765e-3)
	c = float32(fma(c, z, 4.166664568298827e-2) * z)
	c = fma(c, z, -float32(z*0.5)) + 1
	s := fma(-1.9515295891e-4, z, 8.3321608736e-3)
	s = float32(fma(s, z, -1.6666654611e-1) * z)
	s = fma(s, x, x)
	if octant&2 != 0 {
		s, c = c, s
	}
	if octant&4 != 0 {
		s = -s
	}
	if (octant-2)&4 == 0 {
		c = -c
	}
	return s, c
}
