// Command elementwise generates the elementwise loops and reductions: elementwise_amd64.s.
package main

import (
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"winnow/internal/kernel/_asm/vec"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, x := range []*vec.ISA{vec.AVX512("ew"), vec.AVX2("ew")} {
		unaries(x)
		binaries(x)
		mulAdds(x)
		gegluGrad(x)
		axpby(x)
		moments(x)
		dots(x)
		maxOf(x)
		widen(x)
		narrow(x)
	}
	Generate()
}

// loop is loops for a single result.
func loop(x *vec.ISA, dst reg.Register, srcs []reg.Register, n reg.Register, body func(v []vec.R) vec.R) {
	loops(x, []reg.Register{dst}, srcs, n, func(v []vec.R) []vec.R { return []vec.R{body(v)} })
}

// loops emits the walk over n numbers: body gets the next vector of each source and returns the vectors to store.
//
// AVX-512 has one body whose mask is full but for the last vector. AVX2 has a body for
// whole vectors and one with VMASKMOVPS, which is slow as a store, for the tail.
func loops(x *vec.ISA, dst, srcs []reg.Register, n reg.Register, body func(v []vec.R) []vec.R) {
	step := func(load func(p reg.Register) vec.R, store func(v vec.R, dst reg.Register)) {
		v := make([]vec.R, len(srcs))
		for i, p := range srcs {
			v[i] = load(p)
		}
		for i, r := range body(v) {
			store(r, dst[i])
		}
		for _, p := range slices.Concat(dst, srcs) {
			ADDQ(Imm(uint64(4*x.Lanes)), p)
		}
	}
	if x.Wide() {
		k := fullMask(n)
		Label("loop")
		step(func(p reg.Register) vec.R {
			v := x.New()
			VMOVUPS_Z(Mem{Base: p}, k, v)
			return v
		}, func(v vec.R, dst reg.Register) { VMOVUPS(v, k, Mem{Base: dst}) })
		nextMask(n, k)
		VZEROUPPER()
		RET()
		return
	}
	SUBQ(Imm(8), n)
	JL(LabelRef("tail"))
	Label("loop")
	step(func(p reg.Register) vec.R {
		v := x.New()
		VMOVUPS(Mem{Base: p}, v)
		return v
	}, func(v vec.R, dst reg.Register) { VMOVUPS(v, Mem{Base: dst}) })
	SUBQ(Imm(8), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(8), n)
	JZ(LabelRef("done"))
	m := tailMask(n)
	step(func(p reg.Register) vec.R {
		v := x.New()
		VMASKMOVPS(Mem{Base: p}, m, v)
		return v
	}, func(v vec.R, dst reg.Register) { VMASKMOVPS(v, m, Mem{Base: dst}) })
	Label("done")
	VZEROUPPER()
	RET()
}

// fullMask starts an AVX-512 loop over n numbers: it returns the mask of the first
// vector and leaves when n is 0.
func fullMask(n reg.Register) reg.Register {
	k, ones := K(), GP64()
	MOVQ(I64(-1), ones)
	KMOVW(ones.As32(), k)
	CMPQ(n, Imm(16))
	JGE(LabelRef("loop"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	MOVQ(I64(-1), ones)
	BZHIQ(n, ones, ones)
	KMOVW(ones.As32(), k)
	return k
}

// nextMask ends it: n counts down, the last vector goes through the tail.
func nextMask(n reg.Register, k reg.Register) {
	SUBQ(Imm(16), n)
	JLE(LabelRef("done"))
	CMPQ(n, Imm(16))
	JGE(LabelRef("loop"))
	JMP(LabelRef("tail"))
	Label("done")
}

var laneTable Mem

// tailMask is the AVX2 mask of the first n < 8 lanes; n is lost.
func tailMask(n reg.Register) vec.R {
	if laneTable.Symbol.Name == "" {
		laneTable = GLOBL("ewLanes", RODATA|NOPTR)
		for i := range 16 {
			v := uint32(0)
			if i < 8 {
				v = 0xffffffff
			}
			DATA(4*i, U32(v))
		}
	}
	base, m := GP64(), YMM()
	LEAQ(laneTable, base)
	SHLQ(Imm(2), n)
	SUBQ(n, base)
	VMOVDQU(Mem{Base: base, Disp: 32}, m)
	return m
}

func ptr(name string) reg.Register { return Load(Param(name), GP64()) }

func start(name, sig, doc string) {
	TEXT(name, NOSPLIT, sig)
	Doc(doc)
	Pragma("noescape")
}

func unaries(x *vec.ISA) {
	for _, u := range []struct {
		name string
		f    func(v vec.R) vec.R
	}{
		{"exp", x.Exp},
		{"sigmoid", x.Sigmoid},
		{"tanh", x.Tanh},
		{"erf", x.Erf},
		{"silu", x.Silu},
		{"gelu", x.Gelu},
		{"geluTanh", x.GeluTanh},
		{"quickGelu", x.QuickGelu},
		{"siluSlope", x.SiluSlope},
		{"geluSlope", x.GeluSlope},
		{"sqrt", func(v vec.R) vec.R { return sqrt(x, v) }},
		{"rsqrt", func(v vec.R) vec.R { return x.Div(sqrt(x, v), x.Load(1)) }},
		{"reciprocal", func(v vec.R) vec.R { return x.Div(v, x.Load(1)) }},
		{"relu", func(v vec.R) vec.R { return x.AtLeast(v, 0) }},
		{"neg", x.Neg},
		{"abs", x.Abs},
		{"square", func(v vec.R) vec.R { return x.Mul(v, v) }},
	} {
		name := u.name + x.Name
		start(name, "func(dst *float32, src *float32, n int)", name+" computes what unaryRef computes for this function.")
		dst, src, n := ptr("dst"), ptr("src"), ptr("n")
		loop(x, dst, []reg.Register{src}, n, func(v []vec.R) vec.R { return u.f(v[0]) })
	}
}

func sqrt(x *vec.ISA, v vec.R) vec.R {
	r := x.New()
	VSQRTPS(v, r)
	return r
}

// arithmetic lists the two-operand functions: f gets a and b.
func arithmetic(x *vec.ISA) map[string]func(a, b vec.R) vec.R {
	return map[string]func(a, b vec.R) vec.R{
		"add": func(a, b vec.R) vec.R { return x.Add(b, a) },
		"sub": func(a, b vec.R) vec.R { return x.Sub(b, a) },
		"mul": func(a, b vec.R) vec.R { return x.Mul(b, a) },
		"div": func(a, b vec.R) vec.R { return x.Div(b, a) },
		// These instructions return the second source, b, when one is NaN.
		"max": func(a, b vec.R) vec.R { return x.OrNaN(a, x.Op2(VMAXPS, b, a)) },
		"min": func(a, b vec.R) vec.R { return x.OrNaN(a, x.Op2(VMINPS, b, a)) },
	}
}

func binaries(x *vec.ISA) {
	ops := arithmetic(x)
	for _, op := range []string{"add", "sub", "mul", "div", "max", "min"} {
		name := op + x.Name
		start(name, "func(dst *float32, a *float32, b *float32, n int)", name+" computes what binaryRef computes for this function.")
		dst, a, b, n := ptr("dst"), ptr("a"), ptr("b"), ptr("n")
		loop(x, dst, []reg.Register{a, b}, n, func(v []vec.R) vec.R { return ops[op](v[0], v[1]) })
	}
	for _, op := range []string{"add", "mul", "div", "max", "min", "sub", "revDiv"} {
		label := op
		if op == "sub" {
			label = "revSub"
		}
		name := label + "Scalar" + x.Name
		start(name, "func(dst *float32, a *float32, s float32, n int)", name+" computes what scalarRef computes for this function.")
		dst, a, n := ptr("dst"), ptr("a"), ptr("n")
		s := broadcast(x, "s")
		loop(x, dst, []reg.Register{a}, n, func(v []vec.R) vec.R {
			switch op {
			case "sub":
				return x.Sub(v[0], s)
			case "revDiv":
				return x.Div(v[0], s)
			}
			return ops[op](v[0], s)
		})
	}
}

// broadcast loads a float32 argument into every lane.
func broadcast(x *vec.ISA, name string) vec.R {
	v := x.New()
	addr, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(addr.Addr, v)
	return v
}

func mulAdds(x *vec.ISA) {
	start("mulAdd"+x.Name, "func(dst *float32, a *float32, b *float32, c *float32, n int)", "mulAdd"+x.Name+" computes what mulAddRef computes.")
	dst, a, b, c, n := ptr("dst"), ptr("a"), ptr("b"), ptr("c"), ptr("n")
	loop(x, dst, []reg.Register{a, b, c}, n, func(v []vec.R) vec.R { return x.MulAdd(v[0], v[1], v[2]) })

	start("mulAddScalar"+x.Name, "func(dst *float32, a *float32, m float32, s float32, n int)", "mulAddScalar"+x.Name+" computes what mulAddScalarRef computes.")
	dst, a, n = ptr("dst"), ptr("a"), ptr("n")
	m, s := broadcast(x, "m"), broadcast(x, "s")
	loop(x, dst, []reg.Register{a}, n, func(v []vec.R) vec.R { return x.MulAdd(v[0], m, s) })
}

// gegluGrad goes back through a·gelu(b): both halves take one value of the normal distribution.
func gegluGrad(x *vec.ISA) {
	start("gegluGrad"+x.Name, "func(da *float32, db *float32, a *float32, b *float32, dy *float32, n int)",
		"gegluGrad"+x.Name+" computes what gegluGradRef computes.")
	da, db, a, b, dy, n := ptr("da"), ptr("db"), ptr("a"), ptr("b"), ptr("dy"), ptr("n")
	loops(x, []reg.Register{da, db}, []reg.Register{a, b, dy}, n, func(v []vec.R) []vec.R {
		gelu, slope := x.GeluBoth(v[1])
		return []vec.R{x.Mul(v[2], gelu), x.Mul(x.Mul(v[2], v[0]), slope)}
	})
}

// axpby emits y = s·y + (a·x + b).
func axpby(x *vec.ISA) {
	start("axpby"+x.Name, "func(y *float32, src *float32, s float32, a float32, b float32, n int)", "axpby"+x.Name+" computes what axpbyRef computes.")
	y, src, n := ptr("y"), ptr("src"), ptr("n")
	from := GP64()
	MOVQ(y, from)
	s, a, b := broadcast(x, "s"), broadcast(x, "a"), broadcast(x, "b")
	loop(x, y, []reg.Register{from, src}, n, func(v []vec.R) vec.R { return x.MulAdd(v[0], s, x.MulAdd(v[1], a, b)) })
}

// dots keeps a sum and a sum of products a lane in float64, half a vector at a time.
func dots(x *vec.ISA) {
	start("dots"+x.Name, "func(a *float32, b *float32, n int, out *float64)",
		"dots"+x.Name+" adds a and a·b over n > 0 numbers, a multiple of 8, lane by lane: 8 sums, then 8 sums of products.")
	a, b, n := ptr("a"), ptr("b"), ptr("n")
	width := x.Lanes / 2
	var sum, dot []vec.R
	for range 8 / width {
		s, d := x.New(), x.New()
		VXORPS(s, s, s)
		VXORPS(d, d, d)
		sum, dot = append(sum, s), append(dot, d)
	}
	blocks(n, 8, func() {
		for i := range sum {
			v, w := x.New(), x.New()
			VCVTPS2PD(Mem{Base: a, Disp: 4 * width * i}, v)
			VCVTPS2PD(Mem{Base: b, Disp: 4 * width * i}, w)
			VADDPD(v, sum[i], sum[i])
			VFMADD231PD(v, w, dot[i])
		}
		ADDQ(Imm(32), a)
		ADDQ(Imm(32), b)
	})
	out := ptr("out")
	for i := range sum {
		VMOVUPD(sum[i], Mem{Base: out, Disp: 8 * width * i})
		VMOVUPD(dot[i], Mem{Base: out, Disp: 64 + 8*width*i})
	}
	VZEROUPPER()
	RET()
}

// blocks emits a loop over n numbers, a multiple of step.
func blocks(n reg.Register, step int, body func()) {
	Label("loop")
	body()
	SUBQ(Imm(uint64(step)), n)
	JG(LabelRef("loop"))
}

// moments keeps a sum and a sum of squares a lane in float64, half a vector at a time.
func moments(x *vec.ISA) {
	start("moments"+x.Name, "func(x *float32, n int, shift float64, out *float64)",
		"moments"+x.Name+" adds x-shift and its square over n > 0 numbers, a multiple of 8, lane by lane: 8 sums, then 8 squares.")
	p, n := ptr("x"), ptr("n")
	shift := x.New()
	addr, err := Param("shift").Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSD(addr.Addr, shift)
	width := x.Lanes / 2
	var sum, sq []vec.R
	for range 8 / width {
		s, q := x.New(), x.New()
		VXORPS(s, s, s)
		VXORPS(q, q, q)
		sum, sq = append(sum, s), append(sq, q)
	}
	blocks(n, 8, func() {
		for i := range sum {
			d := x.New()
			VCVTPS2PD(Mem{Base: p, Disp: 4 * width * i}, d)
			VSUBPD(shift, d, d)
			VADDPD(d, sum[i], sum[i])
			VFMADD231PD(d, d, sq[i])
		}
		ADDQ(Imm(32), p)
	})
	out := ptr("out")
	for i := range sum {
		VMOVUPD(sum[i], Mem{Base: out, Disp: 8 * width * i})
		VMOVUPD(sq[i], Mem{Base: out, Disp: 64 + 8*width*i})
	}
	VZEROUPPER()
	RET()
}

func maxOf(x *vec.ISA) {
	start("maxOf"+x.Name, "func(x *float32, n int, out *float32)",
		"maxOf"+x.Name+" writes the largest number of every lane over n > 0 numbers, a multiple of the lanes; NaN wins.")
	p, n := ptr("x"), ptr("n")
	m := x.New()
	VMOVUPS(Mem{Base: p}, m)
	blocks(n, x.Lanes, func() {
		v := x.New()
		VMOVUPS(Mem{Base: p}, v)
		VMOVAPS(x.OrNaN(v, x.Op2(VMAXPS, m, v)), m)
		ADDQ(Imm(uint64(4*x.Lanes)), p)
	})
	VMOVUPS(m, Mem{Base: ptr("out")})
	VZEROUPPER()
	RET()
}

// widen emits half precision to single, over a multiple of the lanes.
func widen(x *vec.ISA) {
	for _, half := range []string{"F16", "BF16"} {
		start("widen"+half+x.Name, "func(dst *float32, src *uint16, n int)",
			"widen"+half+x.Name+" widens n > 0 numbers, a multiple of the lanes.")
		dst, src, n := ptr("dst"), ptr("src"), ptr("n")
		blocks(n, x.Lanes, func() {
			v := x.New()
			if half == "F16" {
				VCVTPH2PS(Mem{Base: src}, v)
			} else {
				VPMOVZXWD(Mem{Base: src}, v)
				VPSLLD(Imm(16), v, v)
			}
			VMOVUPS(v, Mem{Base: dst})
			ADDQ(Imm(uint64(2*x.Lanes)), src)
			ADDQ(Imm(uint64(4*x.Lanes)), dst)
		})
		VZEROUPPER()
		RET()
	}
}

// narrow emits single precision to IEEE half.
func narrow(x *vec.ISA) {
	start("narrowF16"+x.Name, "func(dst *uint16, src *float32, n int)",
		"narrowF16"+x.Name+" narrows n > 0 numbers, a multiple of the lanes, to nearest even.")
	dst, src, n := ptr("dst"), ptr("src"), ptr("n")
	blocks(n, x.Lanes, func() {
		v := x.New()
		VMOVUPS(Mem{Base: src}, v)
		VCVTPS2PH(Imm(0), v, Mem{Base: dst})
		ADDQ(Imm(uint64(4*x.Lanes)), src)
		ADDQ(Imm(uint64(2*x.Lanes)), dst)
	})
	VZEROUPPER()
	RET()
}
