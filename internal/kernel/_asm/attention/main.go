// Command attention generates the softmax steps of streaming attention: attention_amd64.s.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"winnow/internal/kernel/_asm/vec"
)

func main() {
	ConstraintExpr("amd64,!noasm")
	for _, x := range []*vec.ISA{vec.AVX512("attn"), vec.AVX2("attn")} {
		softmax(x)
		scale(x)
	}
	Generate()
}

func ptr(name string) reg.Register { return Load(Param(name), GP64()) }

// rowsOf emits a loop over the rows of a tile, two vectors a row.
func rowsOf(x *vec.ISA, name string, p, rows reg.Register, body func(at [2]Mem)) {
	n, q := GP64(), GP64()
	MOVQ(rows, n)
	MOVQ(p, q)
	Label(name)
	body([2]Mem{{Base: q}, {Base: q, Disp: 4 * x.Lanes}})
	ADDQ(Imm(uint64(8*x.Lanes)), q)
	DECQ(n)
	JNZ(LabelRef(name))
}

// softmax takes a tile of scores, one query a lane and one key a row, in two passes:
// the new maximum of every lane, then the exponentials and their sums.
func softmax(x *vec.ISA) {
	name := "softmaxTile" + x.Name
	TEXT(name, NOSPLIT, "func(s *float32, rows int, top *float32, sum *float32, shrink *float32)")
	Doc(fmt.Sprintf("%s computes what softmaxTileRef computes for tiles of %d queries.", name, 2*x.Lanes))
	Pragma("noescape")
	s, rows, top, sum, shrink := ptr("s"), ptr("rows"), ptr("top"), ptr("sum"), ptr("shrink")
	var m, total [2]vec.R
	for i := range 2 {
		m[i], total[i] = x.New(), x.New()
		VMOVUPS(Mem{Base: top, Disp: 4 * x.Lanes * i}, m[i])
		VXORPS(total[i], total[i], total[i])
	}
	rowsOf(x, "max", s, rows, func(at [2]Mem) {
		for i := range 2 {
			v := x.New()
			VMOVUPS(at[i], v)
			VMAXPS(m[i], v, m[i]) // a NaN score leaves m; its exponential is NaN below
		}
	})
	rowsOf(x, "exp", s, rows, func(at [2]Mem) {
		for i := range 2 {
			v := x.New()
			VMOVUPS(at[i], v)
			e := x.ExpNegative(x.Sub(m[i], v))
			VMOVUPS(e, at[i])
			VADDPS(e, total[i], total[i])
		}
	})
	for i := range 2 {
		d := 4 * x.Lanes * i
		old, l := x.New(), x.New()
		VMOVUPS(Mem{Base: top, Disp: d}, old)
		e := x.ExpNegative(x.Sub(m[i], old))
		VMOVUPS(e, Mem{Base: shrink, Disp: d})
		VMOVUPS(Mem{Base: sum, Disp: d}, l)
		VFMADD213PS(total[i], e, l)
		VMOVUPS(l, Mem{Base: sum, Disp: d})
		VMOVUPS(m[i], Mem{Base: top, Disp: d})
	}
	VZEROUPPER()
	RET()
}

// scale multiplies every row of a tile by one vector.
func scale(x *vec.ISA) {
	name := "scaleTile" + x.Name
	TEXT(name, NOSPLIT, "func(s *float32, rows int, f *float32)")
	Doc(name + " computes what scaleTileRef computes.")
	Pragma("noescape")
	s, rows, f := ptr("s"), ptr("rows"), ptr("f")
	v := [2]vec.R{x.New(), x.New()}
	for i := range 2 {
		VMOVUPS(Mem{Base: f, Disp: 4 * x.Lanes * i}, v[i])
	}
	rowsOf(x, "rows", s, rows, func(at [2]Mem) {
		for i := range 2 {
			VMOVUPS(x.Mul(at[i], v[i]), at[i])
		}
	})
	VZEROUPPER()
	RET()
}
