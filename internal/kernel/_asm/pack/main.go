// Command pack generates the loops that bring operands into panel order: pack_amd64.s.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	transpose512()
	transpose16()
	transpose2()
	copyRows512()
	copyRows2()
	convRuns512()
	convGather512()
	Generate()
}

func param(name string) reg.Register { return Load(Param(name), GP64()) }

// stride loads a stride in elements and turns it into bytes.
func stride(name string) reg.Register {
	r := param(name)
	SHLQ(Imm(2), r)
	return r
}

// lowMask sets the lowest n bits (n ≤ 32) of a fresh register.
func lowMask(n reg.Register) reg.GPVirtual {
	m := GP64()
	MOVQ(I64(-1), m)
	BZHIQ(n, m, m)
	return m
}

// columns4 turns four vectors of row pieces into four vectors whose 128-bit lane l
// holds column 4·l+j of the four rows.
func columns4(v [4]reg.VecVirtual, vec func() reg.VecVirtual) [4]reg.VecVirtual {
	var t, o [4]reg.VecVirtual
	for i := range 4 {
		t[i], o[i] = vec(), vec()
	}
	VUNPCKLPS(v[1], v[0], t[0])
	VUNPCKHPS(v[1], v[0], t[1])
	VUNPCKLPS(v[3], v[2], t[2])
	VUNPCKHPS(v[3], v[2], t[3])
	VUNPCKLPD(t[2], t[0], o[0])
	VUNPCKHPD(t[2], t[0], o[1])
	VUNPCKLPD(t[3], t[1], o[2])
	VUNPCKHPD(t[3], t[1], o[3])
	return o
}

const transposeSig = "func(dst *float32, dstStride int, src *float32, srcStride int, rows int, cols int)"

func transpose512() {
	TEXT("transposeAVX512", NOSPLIT, transposeSig)
	Doc("transposeAVX512 computes what transposeRef computes.")
	Pragma("noescape")
	dst, ds, src, ss := param("dst"), stride("dstStride"), param("src"), stride("srcStride")
	rows := param("rows")
	rowMask, colMask := K(), K()
	Label("rowLoop")
	m, four := GP64(), GP64()
	MOVQ(U32(4), four) // BZHI looks at 8 bits of the count only
	CMPQ(rows, four)
	CMOVQLT(rows, four)
	MOVQ(U32(15), m)
	BZHIQ(four, m, m)
	KMOVW(m.As32(), rowMask)
	var p [4]reg.GPVirtual
	for i := range p {
		p[i] = GP64()
		if i == 0 {
			MOVQ(src, p[0])
			continue
		}
		// Rows past the end are read from the row before and never stored.
		LEAQ(Mem{Base: p[i-1], Index: ss, Scale: 1}, p[i])
		CMPQ(rows, Imm(uint64(i)))
		CMOVQLE(p[i-1], p[i])
	}
	out, cols := GP64(), GP64()
	MOVQ(dst, out)
	Load(Param("cols"), cols)
	MOVL(U32(0xffff), m.As32())
	KMOVW(m.As32(), colMask)
	SUBQ(Imm(16), cols)
	JL(LabelRef("tail"))
	Label("colLoop")
	store512(read512(p, colMask), rowMask, out, ds, nil)
	SUBQ(Imm(16), cols)
	JGE(LabelRef("colLoop"))
	Label("tail")
	ADDQ(Imm(16), cols)
	JZ(LabelRef("next"))
	KMOVW(lowMask(cols).As32(), colMask)
	store512(read512(p, colMask), rowMask, out, ds, cols)
	Label("next")
	LEAQ(Mem{Base: src, Index: ss, Scale: 4}, src)
	ADDQ(Imm(16), dst)
	SUBQ(Imm(4), rows)
	JG(LabelRef("rowLoop"))
	VZEROUPPER()
	RET()
}

func read512(p [4]reg.GPVirtual, mask reg.Register) [4]reg.VecVirtual {
	var v [4]reg.VecVirtual
	for i := range p {
		v[i] = ZMM()
		VMOVUPS_Z(Mem{Base: p[i]}, mask, v[i])
		ADDQ(Imm(64), p[i])
	}
	return columns4(v, ZMM)
}

// store512 writes 16 columns, or as many as left counts.
func store512(o [4]reg.VecVirtual, mask, out, ds, left reg.Register) {
	for c := range 16 {
		if c < 4 {
			VMOVUPS(o[c].AsX(), mask, Mem{Base: out})
		} else {
			VEXTRACTF32X4(Imm(uint64(c/4)), o[c%4], mask, Mem{Base: out})
		}
		ADDQ(ds, out)
		if left != nil && c < 15 {
			DECQ(left)
			JZ(LabelRef("next"))
		}
	}
}

// transpose16 writes whole cache lines: far ahead of 16-byte pieces when the rows of
// dst lie a power of two apart and compete for the same sets of the cache.
func transpose16() {
	TEXT("transpose16AVX512", NOSPLIT, transposeSig)
	Doc("transpose16AVX512 computes what transposeRef computes, for rows and cols divisible by 16.")
	Pragma("noescape")
	dst, ds, src, ss := param("dst"), stride("dstStride"), param("src"), stride("srcStride")
	rows, ss3 := param("rows"), GP64()
	LEAQ(Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	Label("rowLoop")
	var base [4]reg.GPVirtual
	for g := range base {
		base[g] = GP64()
		if g == 0 {
			MOVQ(src, base[0])
		} else {
			LEAQ(Mem{Base: base[g-1], Index: ss, Scale: 4}, base[g])
		}
	}
	out, cols := GP64(), GP64()
	MOVQ(dst, out)
	Load(Param("cols"), cols)
	Label("colLoop")
	var o [4][4]reg.VecVirtual // [group of rows][column of a lane]
	for g, p := range base {
		v := [4]reg.VecVirtual{ZMM(), ZMM(), ZMM(), ZMM()}
		VMOVUPS(Mem{Base: p}, v[0])
		VMOVUPS(Mem{Base: p, Index: ss, Scale: 1}, v[1])
		VMOVUPS(Mem{Base: p, Index: ss, Scale: 2}, v[2])
		VMOVUPS(Mem{Base: p, Index: ss3, Scale: 1}, v[3])
		ADDQ(Imm(64), p)
		o[g] = columns4(v, ZMM)
	}
	var line [16]reg.VecVirtual
	for j := range 4 {
		first, second := lanePairs(o[0][j], o[1][j]), lanePairs(o[2][j], o[3][j])
		for l := range 4 {
			line[4*l+j] = ZMM()
			// Lanes 0 and 2, or 1 and 3, of both pairs.
			VSHUFF32X4(Imm([]uint64{0x88, 0xdd}[l%2]), second[l/2], first[l/2], line[4*l+j])
		}
	}
	for _, v := range line {
		VMOVUPS(v, Mem{Base: out})
		ADDQ(ds, out)
	}
	SUBQ(Imm(16), cols)
	JG(LabelRef("colLoop"))
	SHLQ(Imm(4), ss)
	ADDQ(ss, src)
	SHRQ(Imm(4), ss)
	ADDQ(Imm(64), dst)
	SUBQ(Imm(16), rows)
	JG(LabelRef("rowLoop"))
	VZEROUPPER()
	RET()
}

// lanePairs returns lanes 0, 1 of a and b, and lanes 2, 3 of a and b.
func lanePairs(a, b reg.VecVirtual) [2]reg.VecVirtual {
	r := [2]reg.VecVirtual{ZMM(), ZMM()}
	VSHUFF32X4(Imm(0x44), b, a, r[0])
	VSHUFF32X4(Imm(0xee), b, a, r[1])
	return r
}

func transpose2() {
	TEXT("transposeAVX2", NOSPLIT, transposeSig)
	Doc("transposeAVX2 computes what transposeRef computes, for rows divisible by 4 and cols by 8.")
	Pragma("noescape")
	dst, ds, src, ss := param("dst"), stride("dstStride"), param("src"), stride("srcStride")
	rows := param("rows")
	Label("rowLoop")
	p, out, cols := GP64(), GP64(), GP64()
	MOVQ(src, p)
	MOVQ(dst, out)
	Load(Param("cols"), cols)
	ss3 := GP64()
	LEAQ(Mem{Base: ss, Index: ss, Scale: 2}, ss3)
	Label("colLoop")
	v := [4]reg.VecVirtual{YMM(), YMM(), YMM(), YMM()}
	VMOVUPS(Mem{Base: p}, v[0])
	VMOVUPS(Mem{Base: p, Index: ss, Scale: 1}, v[1])
	VMOVUPS(Mem{Base: p, Index: ss, Scale: 2}, v[2])
	VMOVUPS(Mem{Base: p, Index: ss3, Scale: 1}, v[3])
	o := columns4(v, YMM)
	for c := range 8 {
		if c < 4 {
			VMOVUPS(o[c].AsX(), Mem{Base: out})
		} else {
			VEXTRACTF128(Imm(1), o[c%4], Mem{Base: out})
		}
		ADDQ(ds, out)
	}
	ADDQ(Imm(32), p)
	SUBQ(Imm(8), cols)
	JG(LabelRef("colLoop"))
	LEAQ(Mem{Base: src, Index: ss, Scale: 4}, src)
	ADDQ(Imm(16), dst)
	SUBQ(Imm(4), rows)
	JG(LabelRef("rowLoop"))
	VZEROUPPER()
	RET()
}

const copySig = "func(dst *float32, dstStride int, src *float32, srcStride int, rows int, n int, width int)"

func copyRows512() {
	TEXT("copyRowsAVX512", NOSPLIT, copySig)
	Doc("copyRowsAVX512 computes what copyRowsRef computes, for n ≤ width ≤ 32.")
	Pragma("noescape")
	dst, ds, src, ss := param("dst"), stride("dstStride"), param("src"), stride("srcStride")
	rows := param("rows")
	var k [4]reg.Register
	for i, name := range []string{"n", "width"} {
		m := lowMask(param(name))
		k[2*i], k[2*i+1] = K(), K()
		KMOVW(m.As32(), k[2*i])
		SHRQ(Imm(16), m)
		KMOVW(m.As32(), k[2*i+1])
	}
	Label("loop")
	a, b := ZMM(), ZMM()
	VMOVUPS_Z(Mem{Base: src}, k[0], a)
	VMOVUPS_Z(Mem{Base: src, Disp: 64}, k[1], b)
	VMOVUPS(a, k[2], Mem{Base: dst})
	VMOVUPS(b, k[3], Mem{Base: dst, Disp: 64})
	ADDQ(ss, src)
	ADDQ(ds, dst)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func copyRows2() {
	TEXT("copyRowsAVX2", NOSPLIT, "func(dst *float32, dstStride int, src *float32, srcStride int, rows int)")
	Doc("copyRowsAVX2 computes what copyRowsRef computes, for n = width = 16.")
	Pragma("noescape")
	dst, ds, src, ss := param("dst"), stride("dstStride"), param("src"), stride("srcStride")
	rows := param("rows")
	Label("loop")
	a, b := YMM(), YMM()
	VMOVUPS(Mem{Base: src}, a)
	VMOVUPS(Mem{Base: src, Disp: 32}, b)
	VMOVUPS(a, Mem{Base: dst})
	VMOVUPS(b, Mem{Base: dst, Disp: 32})
	ADDQ(ss, src)
	ADDQ(ds, dst)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

const convSig = "func(dst *float32, src *float32, chans int, chanStride int, taps int, offs *int32, masks *uint32, idx *int32)"

// convLoop emits the loops over channels and taps; body gets the address of the tap
// and the register with its 32 column bits.
func convLoop(body func(src reg.GPVirtual, bits reg.GPVirtual, dst reg.Register)) {
	dst, src, chans, cs := param("dst"), param("src"), param("chans"), stride("chanStride")
	taps, offs, masks := param("taps"), param("offs"), param("masks")
	Label("chan")
	t := GP64()
	XORQ(t, t)
	Label("tap")
	p, bits := GP64(), GP64()
	MOVLQSX(Mem{Base: offs, Index: t, Scale: 4}, p)
	MOVL(Mem{Base: masks, Index: t, Scale: 4}, bits.As32())
	LEAQ(Mem{Base: src, Index: p, Scale: 4}, p)
	body(p, bits, dst)
	ADDQ(Imm(128), dst)
	INCQ(t)
	CMPQ(t, taps)
	JLT(LabelRef("tap"))
	ADDQ(cs, src)
	DECQ(chans)
	JNZ(LabelRef("chan"))
	VZEROUPPER()
	RET()
}

func convRuns512() {
	TEXT("convRunsAVX512", NOSPLIT, convSig)
	Doc("convRunsAVX512 computes what convPanelRef computes when columns 0…15 and 16…31",
		"each come from consecutive numbers: only idx[0] and idx[16] are read.")
	Pragma("noescape")
	idx := param("idx")
	lo, hi := GP64(), GP64()
	MOVLQSX(Mem{Base: idx}, lo)
	MOVLQSX(Mem{Base: idx, Disp: 64}, hi)
	k1, k2 := K(), K()
	convLoop(func(p, bits reg.GPVirtual, dst reg.Register) {
		KMOVW(bits.As32(), k1)
		SHRL(Imm(16), bits.As32())
		KMOVW(bits.As32(), k2)
		a, b := ZMM(), ZMM()
		VMOVUPS_Z(Mem{Base: p, Index: lo, Scale: 4}, k1, a)
		VMOVUPS_Z(Mem{Base: p, Index: hi, Scale: 4}, k2, b)
		VMOVUPS(a, Mem{Base: dst})
		VMOVUPS(b, Mem{Base: dst, Disp: 64})
	})
}

func convGather512() {
	TEXT("convGatherAVX512", NOSPLIT, convSig)
	Doc("convGatherAVX512 computes what convPanelRef computes, by gather instructions.")
	Pragma("noescape")
	idx := param("idx")
	lo, hi := ZMM(), ZMM()
	VMOVDQU32(Mem{Base: idx}, lo)
	VMOVDQU32(Mem{Base: idx, Disp: 64}, hi)
	k1, k2 := K(), K()
	convLoop(func(p, bits reg.GPVirtual, dst reg.Register) {
		KMOVW(bits.As32(), k1)
		SHRL(Imm(16), bits.As32())
		KMOVW(bits.As32(), k2)
		a, b := ZMM(), ZMM()
		VXORPS(a, a, a)
		VXORPS(b, b, b)
		VGATHERDPS(Mem{Base: p, Index: lo, Scale: 4}, k1, a)
		VGATHERDPS(Mem{Base: p, Index: hi, Scale: 4}, k2, b)
		VMOVUPS(a, Mem{Base: dst})
		VMOVUPS(b, Mem{Base: dst, Disp: 64})
	})
}
