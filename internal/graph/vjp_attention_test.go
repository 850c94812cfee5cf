package graph

import (
	"fmt"
	"io"
	"testing"

	"winnow/internal/tensor"
)

// attentionForm is one way that an export writes attention.
type attentionForm struct {
	heads, kvHeads int
	three          bool // [B, S, H·D] operands
	causal         bool
	mask           string // "", "float" or "bool"
}

const attentionBatch, attentionQueries, attentionKeys, attentionDim = 2, 5, 7, 4

func (f attentionForm) in() map[string]tensor.Tensor {
	shape := func(heads, tokens int) []int {
		if f.three {
			return []int{attentionBatch, tokens, heads * attentionDim}
		}
		return []int{attentionBatch, heads, tokens, attentionDim}
	}
	in := map[string]tensor.Tensor{
		"q": normal64(1, shape(f.heads, attentionQueries)...), "k": normal64(2, shape(f.kvHeads, attentionKeys)...),
		"v": normal64(3, shape(f.kvHeads, attentionKeys)...),
	}
	switch f.mask {
	case "float":
		in["mask"] = normal64(4, attentionBatch, f.heads, attentionQueries, attentionKeys)
	case "bool":
		m := tensor.New(tensor.Bool, attentionQueries, attentionKeys)
		for i := range m.Data {
			if i%3 > 0 || i%attentionKeys == 0 { // every query sees a key
				m.Data[i] = 1
			}
		}
		in["mask"] = m
	}
	return in
}

// declare makes the inputs in the given float type.
func (f attentionForm) declare(b *Builder, dt tensor.DType) (q, k, v, mask ValueID) {
	in := f.in()
	ids := map[string]ValueID{"mask": None}
	for _, name := range []string{"q", "k", "v", "mask"} {
		x, ok := in[name]
		if !ok {
			continue
		}
		ids[name] = b.Input(name, dt, x.Shape...)
		if x.DType == tensor.Bool {
			b.g.Values[ids[name]].DType = tensor.Bool
		}
	}
	return ids["q"], ids["k"], ids["v"], ids["mask"]
}

// spelled is attention in elementary operators, over [B, H, S, D].
func (f attentionForm) spelled(b *Builder, dt tensor.DType) {
	q, k, v, mask := f.declare(b, dt)
	split := func(x ValueID, heads, tokens int) ValueID {
		if f.three {
			x = b.Op("Reshape", x, b.Const(i64s(attentionBatch, int64(tokens), int64(heads), attentionDim)))
			x = b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, x)
		}
		if n := int64(f.heads / heads); n > 1 {
			x = b.Op("Reshape", x, b.Const(i64s(attentionBatch, int64(heads), 1, int64(tokens), attentionDim)))
			x = b.Op("Expand", x, b.Const(i64s(attentionBatch, int64(heads), n, int64(tokens), attentionDim)))
			x = b.Op("Reshape", x, b.Const(i64s(attentionBatch, int64(f.heads), int64(tokens), attentionDim)))
		}
		return x
	}
	number := func(x float64) ValueID {
		t := tensor.FromF64([]float64{x})
		if dt == tensor.F32 {
			t = tensor.FromF32([]float32{float32(x)})
		}
		return b.Const(t)
	}
	q, k, v = split(q, f.heads, attentionQueries), split(k, f.kvHeads, attentionKeys), split(v, f.kvHeads, attentionKeys)
	s := b.Op("MatMul", b.Op("Mul", q, number(0.5)), b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 1, 3, 2)}, k))
	switch f.mask {
	case "float":
		s = b.Op("Add", s, mask)
	case "bool":
		s = b.Op("Where", mask, s, number(-1e9))
	}
	if f.causal {
		future := futureMask(attentionQueries, attentionKeys)
		if dt == tensor.F32 {
			future = toF32(map[string]tensor.Tensor{"": future})[""]
		}
		s = b.Op("Add", s, b.Const(future))
	}
	y := b.Op("MatMul", b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, s), v)
	if f.three {
		y = b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, y)
		y = b.Op("Reshape", y, b.Const(i64s(attentionBatch, attentionQueries, int64(f.heads)*attentionDim)))
	}
	b.Output("y", y)
}

// standard is attention as one operator.
func (f attentionForm) standard(b *Builder) {
	b.Opset("", 23)
	q, k, v, mask := f.declare(b, tensor.F32)
	attrs := map[string]Attr{"is_causal": boolAttr(f.causal)}
	if f.three {
		attrs["q_num_heads"], attrs["kv_num_heads"] = IntAttr(f.heads), IntAttr(f.kvHeads)
	}
	ids := []ValueID{q, k, v}
	if mask != None {
		ids = append(ids, mask)
	}
	b.Output("y", b.OpA("Attention", attrs, ids...))
}

// TestVJPAttention checks the elementary form by finite differences, with the fused operator for float32, and then the
// standard operator against it.
func TestVJPAttention(t *testing.T) {
	for _, f := range []attentionForm{
		{heads: 2, kvHeads: 2},
		{heads: 2, kvHeads: 2, three: true, mask: "float"},
		{heads: 4, kvHeads: 2, causal: true},
		{heads: 4, kvHeads: 2, three: true, mask: "bool"},
		{heads: 1, kvHeads: 1, mask: "bool", causal: true},
	} {
		t.Run(fmt.Sprintf("%+v", f), func(t *testing.T) {
			spelled := gradCase{name: "attention", build: f.spelled, in: f.in()}
			checkVJP(t, spelled)
			wrt := []string{"k", "q", "v"}
			if f.mask == "float" {
				wrt = append(wrt, "mask")
			}
			cot := map[string]tensor.Tensor{}
			_, want := runGradient(t, spelled.graph(t, tensor.F64), f.in(), cot, wrt, Options{NoFusion: true})
			b := NewBuilder("standard attention")
			f.standard(b)
			_, got := runGradient(t, buildGraph(t, b), toF32(f.in()), toF32(cot), wrt, Options{Paranoid: true, Log: io.Discard})
			for name := range want {
				compareTensors(t, "gradient of "+name, got[name], toF32(want)[name], 2e-5)
			}
		})
	}
}

func TestVJPRotaryEmbedding(t *testing.T) {
	for _, interleaved := range []bool{false, true} {
		checkVJP(t, gradCase{
			name: "rotary", opset: 23,
			build: func(b *Builder, dt tensor.DType) {
				x := b.Input("x", dt, 2, 3, 5, 8)
				cos, sin := b.Input("cos", dt, 2, 5, 3), b.Input("sin", dt, 2, 5, 3)
				attrs := map[string]Attr{"interleaved": boolAttr(interleaved), "rotary_embedding_dim": IntAttr(6)}
				b.Output("y", b.OpA("RotaryEmbedding", attrs, x, cos, sin))
			},
			in:  map[string]tensor.Tensor{"x": normal64(1, 2, 3, 5, 8), "cos": normal64(2, 2, 5, 3), "sin": normal64(3, 2, 5, 3)},
			wrt: []string{"x"},
		})
	}
}
