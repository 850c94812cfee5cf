// Command gemm generates the matrix-product micro-kernels: gemm_amd64.s.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	panel(avx512)
	panel(avx2)
	Generate()
}

// isa says how one instruction set differs from the other.
type isa struct {
	name   string
	rows   []int // row counts of the tile variants, largest first; the first is the panel height
	lanes  int   // float32 numbers in a vector
	unroll int
	vec    func() reg.VecVirtual
}

var (
	avx512 = isa{name: "AVX512", rows: []int{12, 8, 4}, lanes: 16, unroll: 4, vec: ZMM}
	avx2   = isa{name: "AVX2", rows: []int{6, 3}, lanes: 8, unroll: 4, vec: YMM}
)

// args holds the registers that stay live over the whole call.
type args struct {
	k, a, aPanel, b, c, cStride, m reg.Register
	acc                            reg.Register // AVX-512: accumulate flag
	k1, k2                         reg.Register // AVX-512: column masks
}

// panel emits the kernel that multiplies m rows of packed A by one panel of B.
func panel(x isa) {
	TEXT("gemmPanel"+x.name, NOSPLIT, "func(k int, a *float32, aPanel int, b *float32, c *float32, cStride int, m int, n int, acc int)")
	Doc(fmt.Sprintf("gemmPanel%s computes what gemmPanelRef computes with %d rows a panel and %d columns.", x.name, x.rows[0], 2*x.lanes))
	Pragma("noescape")
	g := load(x)
	Label("panel")
	CMPQ(g.m, Imm(uint64(x.rows[1])))
	JLE(LabelRef("narrow"))
	tile(x, g, x.rows[0])
	Label("narrow")
	if len(x.rows) > 2 {
		CMPQ(g.m, Imm(uint64(x.rows[2])))
		JLE(LabelRef("narrower"))
	}
	tile(x, g, x.rows[1])
	if len(x.rows) > 2 {
		Label("narrower")
		tile(x, g, x.rows[2])
	}
	Label("done")
	VZEROUPPER()
	RET()
}

func bytes(r reg.Register) reg.Register { SHLQ(Imm(2), r); return r }

// load reads the arguments and makes the column masks.
func load(x isa) args {
	g := args{
		k: Load(Param("k"), GP64()), a: Load(Param("a"), GP64()), aPanel: bytes(Load(Param("aPanel"), GP64())),
		b: Load(Param("b"), GP64()),
		c: Load(Param("c"), GP64()), cStride: bytes(Load(Param("cStride"), GP64())), m: Load(Param("m"), GP64()),
	}
	if x.lanes == 16 {
		n := Load(Param("n"), GP64())
		ones := GP64()
		MOVQ(I64(-1), ones)
		BZHIQ(n, ones, ones)
		g.k1, g.k2 = K(), K()
		KMOVW(ones.As32(), g.k1)
		SHRQ(Imm(16), ones)
		KMOVW(ones.As32(), g.k2)
		g.acc = Load(Param("acc"), GP64())
		return g
	}
	return g
}

// tile emits the product of r rows, its store, and the jump to the next panel.
func tile(x isa, g args, r int) {
	acc := make([]reg.VecVirtual, 2*r)
	for i := range acc {
		acc[i] = x.vec()
		VXORPS(acc[i], acc[i], acc[i])
	}
	name := func(s string) string { return fmt.Sprintf("%s%d", s, r) }
	prefetchC(g, r)
	a, b, k := GP64(), GP64(), GP64()
	MOVQ(g.a, a)
	MOVQ(g.b, b)
	MOVQ(g.k, k)
	stride, width := 4*x.rows[0], 8*x.lanes
	SUBQ(Imm(uint64(x.unroll)), k)
	JL(LabelRef(name("rest")))
	Label(name("loop"))
	for u := range x.unroll {
		PREFETCHT0(Mem{Base: a, Disp: 512 + u*stride})
		step(x, acc, Mem{Base: a, Disp: u * stride}, Mem{Base: b, Disp: u * width}, r)
	}
	ADDQ(U32(x.unroll*stride), a)
	ADDQ(U32(x.unroll*width), b)
	SUBQ(Imm(uint64(x.unroll)), k)
	JGE(LabelRef(name("loop")))
	Label(name("rest"))
	ADDQ(Imm(uint64(x.unroll)), k)
	JZ(LabelRef(name("store")))
	Label(name("single"))
	step(x, acc, Mem{Base: a}, Mem{Base: b}, r)
	ADDQ(Imm(uint64(stride)), a)
	ADDQ(Imm(uint64(width)), b)
	DECQ(k)
	JNZ(LabelRef(name("single")))
	Label(name("store"))
	if x.lanes == 16 {
		store512(g, acc, r)
	} else {
		store2(x, g, acc, r)
	}
	ADDQ(g.aPanel, g.a)
	SUBQ(Imm(uint64(r)), g.m)
	JLE(LabelRef("done"))
	JMP(LabelRef("panel"))
}

// prefetchC asks for the rows of C early: they are needed one K block later.
func prefetchC(g args, r int) {
	p := GP64()
	MOVQ(g.c, p)
	for range r {
		PREFETCHT0(Mem{Base: p})
		PREFETCHT0(Mem{Base: p, Disp: 64})
		ADDQ(g.cStride, p)
	}
}

// step emits one k: two vectors of B times r broadcast numbers of A.
func step(x isa, acc []reg.VecVirtual, a, b Mem, r int) {
	b0, b1 := x.vec(), x.vec()
	VMOVUPS(b, b0)
	VMOVUPS(b.Offset(4*x.lanes), b1)
	for i := range r {
		v := x.vec()
		VBROADCASTSS(a.Offset(4*i), v)
		VFMADD231PS(b0, v, acc[2*i])
		VFMADD231PS(b1, v, acc[2*i+1])
	}
}

// store512 writes up to r rows through the column masks, adding to C when asked.
func store512(g args, acc []reg.VecVirtual, r int) {
	rows := GP64()
	MOVQ(g.m, rows)
	end, add := fmt.Sprintf("end%d", r), fmt.Sprintf("add%d", r)
	TESTQ(g.acc, g.acc)
	JNZ(LabelRef(add))
	for _, addC := range []bool{false, true} {
		if addC {
			Label(add)
		}
		for i := range r {
			if addC {
				VADDPS_Z(Mem{Base: g.c}, acc[2*i], g.k1, acc[2*i])
				VADDPS_Z(Mem{Base: g.c, Disp: 64}, acc[2*i+1], g.k2, acc[2*i+1])
			}
			VMOVUPS(acc[2*i], g.k1, Mem{Base: g.c})
			VMOVUPS(acc[2*i+1], g.k2, Mem{Base: g.c, Disp: 64})
			ADDQ(g.cStride, g.c)
			if i < r-1 {
				DECQ(rows)
				JZ(LabelRef(end))
			}
		}
		if !addC {
			JMP(LabelRef(end))
		}
	}
	Label(end)
}

// store2 is store512 without mask registers: a plain path for full tiles and one
// with VMASKMOVPS for tiles at the right edge.
func store2(x isa, g args, acc []reg.VecVirtual, r int) {
	n, rows, flag := GP64(), GP64(), GP64()
	Load(Param("n"), n)
	Load(Param("acc"), flag)
	MOVQ(g.m, rows)
	end, edge := fmt.Sprintf("end%d", r), fmt.Sprintf("edge%d", r)
	plain := fmt.Sprintf("plain%d", r)
	CMPQ(n, Imm(16))
	JL(LabelRef(edge))
	TESTQ(flag, flag)
	JZ(LabelRef(plain))
	for _, addC := range []bool{true, false} {
		if !addC {
			Label(plain)
		}
		for i := range r {
			if addC {
				VADDPS(Mem{Base: g.c}, acc[2*i], acc[2*i])
				VADDPS(Mem{Base: g.c, Disp: 32}, acc[2*i+1], acc[2*i+1])
			}
			VMOVUPS(acc[2*i], Mem{Base: g.c})
			VMOVUPS(acc[2*i+1], Mem{Base: g.c, Disp: 32})
			nextRow(g, rows, i, r, end)
		}
		JMP(LabelRef(end))
	}
	Label(edge)
	m0, m1 := laneMasks(n)
	for i := range r {
		skip := fmt.Sprintf("skip%d_%d", r, i)
		TESTQ(flag, flag)
		JZ(LabelRef(skip))
		t := YMM()
		VMASKMOVPS(Mem{Base: g.c}, m0, t)
		VADDPS(t, acc[2*i], acc[2*i])
		VMASKMOVPS(Mem{Base: g.c, Disp: 32}, m1, t)
		VADDPS(t, acc[2*i+1], acc[2*i+1])
		Label(skip)
		VMASKMOVPS(acc[2*i], m0, Mem{Base: g.c})
		VMASKMOVPS(acc[2*i+1], m1, Mem{Base: g.c, Disp: 32})
		nextRow(g, rows, i, r, end)
	}
	Label(end)
}

func nextRow(g args, rows reg.GPVirtual, i, r int, end string) {
	ADDQ(g.cStride, g.c)
	if i < r-1 {
		DECQ(rows)
		JZ(LabelRef(end))
	}
}

var lanes Mem

// laneMasks loads the two vector masks that keep the first n of 16 columns.
func laneMasks(n reg.GPVirtual) (m0, m1 reg.VecVirtual) {
	if lanes.Symbol.Name == "" {
		lanes = GLOBL("gemmLanes", RODATA|NOPTR)
		for i := range 32 {
			v := uint32(0)
			if i < 16 {
				v = 0xffffffff
			}
			DATA(4*i, U32(v))
		}
	}
	base := GP64()
	LEAQ(lanes, base)
	SHLQ(Imm(2), n)
	SUBQ(n, base)
	m0, m1 = YMM(), YMM()
	VMOVUPS(Mem{Base: base, Disp: 64}, m0)
	VMOVUPS(Mem{Base: base, Disp: 96}, m1)
	return m0, m1
}
