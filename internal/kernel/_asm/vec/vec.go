// Package vec is the vector vocabulary of the generators: the same function bodies are
// written once and emitted for AVX-512 and for AVX2+FMA. Operands follow Go's order
// (destination last); every function leaves its arguments unchanged.
package vec

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// R is a vector register.
type R = reg.VecVirtual

// ISA is one instruction set.
type ISA struct {
	Name   string
	Lanes  int
	New    func() R
	file   string
	consts map[uint32]Mem
}

// AVX512 and AVX2 return the two instruction sets; file makes the names of their
// constants unique in the package.
func AVX512(file string) *ISA { return &ISA{"AVX512", 16, ZMM, file + "512", map[uint32]Mem{}} }

// AVX2 is described at AVX512.
func AVX2(file string) *ISA { return &ISA{"AVX2", 8, YMM, file + "256", map[uint32]Mem{}} }

// Wide reports whether x is AVX-512.
func (x *ISA) Wide() bool { return x.Lanes == 16 }

// Const is a vector in memory with the same number in every lane.
func (x *ISA) Const(f float64) Mem { return x.Bits(math.Float32bits(float32(f))) }

// Bits is Const for a bit pattern.
func (x *ISA) Bits(b uint32) Mem {
	m, ok := x.consts[b]
	if !ok {
		m = GLOBL(fmt.Sprintf("%s_%08x", x.file, b), RODATA|NOPTR)
		for i := range x.Lanes {
			DATA(4*i, U32(b))
		}
		x.consts[b] = m
	}
	return m
}

// Load is Const in a register.
func (x *ISA) Load(f float64) R {
	r := x.New()
	VMOVUPS(x.Const(f), r)
	return r
}

const signBit = 0x80000000

// Op2 emits a two-operand instruction: out = b op a, with a a register or memory.
func (x *ISA) Op2(op func(ops ...Op), a, b Op) R {
	out := x.New()
	op(a, b, out)
	return out
}

// Mul, Add, Sub (b-a) and Div (b/a) are arithmetic; a may be memory.
func (x *ISA) Mul(a Op, b R) R { return x.Op2(VMULPS, a, b) }

// Add is described at Mul.
func (x *ISA) Add(a Op, b R) R { return x.Op2(VADDPS, a, b) }

// Sub is described at Mul.
func (x *ISA) Sub(a Op, b R) R { return x.Op2(VSUBPS, a, b) }

// Div is described at Mul.
func (x *ISA) Div(a Op, b R) R { return x.Op2(VDIVPS, a, b) }

// Abs clears the sign.
func (x *ISA) Abs(v R) R { return x.Op2(VANDPS, x.Bits(signBit-1), v) }

// Neg flips the sign.
func (x *ISA) Neg(v R) R { return x.Op2(VXORPS, x.Bits(signBit), v) }

// WithSign gives the non-negative v the sign of s.
func (x *ISA) WithSign(v, s R) R {
	return x.Op2(VORPS, v, x.Op2(VANDPS, x.Bits(signBit), s))
}

// AtMost and AtLeast clamp v and keep NaN: the instructions return their second
// source, which is v, when one is NaN.
func (x *ISA) AtMost(v R, limit float64) R { return x.Op2(VMINPS, v, x.Load(limit)) }

// AtLeast is described at AtMost.
func (x *ISA) AtLeast(v R, limit float64) R { return x.Op2(VMAXPS, v, x.Load(limit)) }

// Copy returns v in another register.
func (x *ISA) Copy(v R) R {
	r := x.New()
	VMOVAPS(v, r)
	return r
}

// Poly evaluates c[0] + c[1]·v + … by Horner's rule.
func (x *ISA) Poly(v R, c ...float64) R {
	p := x.Load(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		VFMADD213PS(x.Const(c[i]), v, p)
	}
	return p
}

// MulAdd is a·b+c.
func (x *ISA) MulAdd(a, b R, c Op) R {
	r := x.Copy(a)
	VFMADD213PS(c, b, r)
	return r
}

// Negative returns ifNeg where the sign bit of s is set, else other.
func (x *ISA) Negative(s, ifNeg, other R) R {
	out := x.New()
	if x.Wide() {
		k := K()
		VPMOVD2M(s, k)
		VBLENDMPS(ifNeg, other, k, out)
		return out
	}
	VBLENDVPS(s, ifNeg, other, out)
	return out
}

// Less returns ifLess where v < limit, else other; NaN gives other.
func (x *ISA) Less(v R, limit float64, ifLess, other R) R {
	out := x.New()
	const lessOrderedQuiet = 17
	if x.Wide() {
		k := K()
		VCMPPS(Imm(lessOrderedQuiet), x.Const(limit), v, k)
		VBLENDMPS(ifLess, other, k, out)
		return out
	}
	m := x.New()
	VCMPPS(Imm(lessOrderedQuiet), x.Const(limit), v, m)
	VBLENDVPS(m, ifLess, other, out)
	return out
}

// OrNaN returns r, but v where v is NaN.
func (x *ISA) OrNaN(v, r R) R {
	out := x.New()
	const unordered = 3
	if x.Wide() {
		k := K()
		VCMPPS(Imm(unordered), v, v, k)
		VBLENDMPS(v, r, k, out)
		return out
	}
	m := x.New()
	VCMPPS(Imm(unordered), v, v, m)
	VBLENDVPS(m, v, r, out)
	return out
}
