package graph

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// attnCase describes one spelling of attention among projections.
type attnCase struct {
	b, s, sk, h, d int
	where          string // place of the scale: "scores", "div", "operands", "q"
	mask           string // "", "add", "where", "bias and add", "bias and where"
	flat           bool   // batch and heads as one dimension
	keyPerm        bool   // k transposed at once by [0,2,3,1]
	keyFlat        bool   // k transposed while batch and heads are one dimension, as the dynamo exporter does
	guard          bool   // NaN guard after the softmax
}

// build writes x → q,k,v projections → heads → attention → merged heads.
func (c attnCase) build(b *Builder, x, y ValueID) ValueID {
	w := c.h * c.d
	project := func(in ValueID, seed uint64, s int) ValueID {
		p := b.Op("MatMul", in, b.Const(randn(seed, w, w)))
		return b.Op("Reshape", p, b.Const(i64s(int64(c.b), int64(s), int64(c.h), int64(c.d))))
	}
	perm := func(v ValueID, p ...int) ValueID {
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(p...)}, v)
	}
	q := perm(project(x, 11, c.s), 0, 2, 1, 3)
	v := perm(project(y, 13, c.sk), 0, 2, 1, 3)
	k := project(y, 12, c.sk)
	flat := func(v ValueID, s, d int) ValueID {
		if !c.flat {
			return v
		}
		return b.Op("Reshape", v, b.Const(i64s(int64(c.b*c.h), int64(s), int64(d))))
	}
	q, v = flat(q, c.s, c.d), flat(v, c.sk, c.d)
	var kt ValueID
	switch {
	case c.keyPerm:
		kt = perm(k, 0, 2, 3, 1)
	case c.keyFlat:
		kt = b.Op("Reshape", perm(k, 0, 2, 1, 3), b.Const(i64s(int64(c.b*c.h), int64(c.sk), int64(c.d))))
		kt = b.Op("Reshape", perm(kt, 0, 2, 1), b.Const(i64s(int64(c.b), int64(c.h), int64(c.d), int64(c.sk))))
	case c.flat:
		kt = perm(flat(perm(k, 0, 2, 1, 3), c.sk, c.d), 0, 2, 1)
	default:
		kt = perm(perm(k, 0, 2, 1, 3), 0, 1, 3, 2)
	}
	out := b.Op("MatMul", c.probabilities(b, q, kt), v)
	if c.flat {
		out = b.Op("Reshape", out, b.Const(i64s(int64(c.b), int64(c.h), int64(c.s), int64(c.d))))
	}
	out = b.Op("Reshape", perm(out, 0, 2, 1, 3), b.Const(i64s(int64(c.b), int64(c.s), int64(w))))
	return b.Op("MatMul", out, b.Const(randn(14, w, w)))
}

func (c attnCase) probabilities(b *Builder, q, kt ValueID) ValueID {
	scale := float32(1 / math.Sqrt(float64(c.d)))
	root := b.Const(f32(float32(math.Sqrt(float64(scale)))))
	switch c.where {
	case "operands":
		q, kt = b.Op("Mul", q, root), b.Op("Mul", kt, root)
	case "q":
		q = b.Op("Mul", b.Const(f32(scale)), q)
	}
	s := b.Op("MatMul", q, kt)
	switch c.where {
	case "scores":
		s = b.Op("Mul", s, b.Const(f32(scale)))
	case "div":
		s = b.Op("Div", s, b.Const(f32(1/scale)))
	}
	switch c.mask {
	case "bias and add", "bias and where": // a relative position bias before the padding mask
		s = b.Op("Add", s, b.Const(randn(16, 1, c.h, c.s, c.sk)))
	}
	switch c.mask {
	case "add", "bias and add":
		s = b.Op("Add", s, b.Const(randn(15, 1, 1, c.s, c.sk)))
	case "where", "bias and where":
		m := make([]bool, c.s*c.sk)
		for i := range m {
			m[i] = i%c.sk > i/c.sk
		}
		s = b.Op("Where", b.Const(tensor.FromBool(m, c.s, c.sk)), b.Const(f32(float32(math.Inf(-1)))), s)
	}
	p := b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, s)
	if c.guard {
		p = b.Op("Where", b.Op("IsNaN", p), b.Const(f32(0)), p)
	}
	return p
}

func TestFuseAttention(t *testing.T) {
	cases := []attnCase{
		{b: 2, s: 9, sk: 9, h: 3, d: 8, where: "operands"},
		{b: 2, s: 9, sk: 5, h: 3, d: 8, where: "scores", keyPerm: true},
		{b: 2, s: 9, sk: 9, h: 3, d: 8, where: "div", mask: "add"},
		{b: 2, s: 9, sk: 5, h: 3, d: 8, where: "operands", keyFlat: true},
		{b: 2, s: 9, sk: 9, h: 3, d: 8, where: "q", mask: "where", guard: true},
		{b: 2, s: 9, sk: 5, h: 3, d: 8, where: "scores", flat: true},
		{b: 1, s: 9, sk: 9, h: 1, d: 16, where: "operands"},
		{b: 2, s: 9, sk: 9, h: 3, d: 8, where: "scores", mask: "bias and where"},
		{b: 2, s: 9, sk: 5, h: 3, d: 8, where: "q", mask: "bias and add"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			b := NewBuilder("attention")
			x := b.Input("x", tensor.F32, c.b, c.s, c.h*c.d)
			y := b.Input("y", tensor.F32, c.b, c.sk, c.h*c.d)
			b.Output("out", c.build(b, x, y))
			in := map[string]tensor.Tensor{"x": randn(1, c.b, c.s, c.h*c.d), "y": randn(2, c.b, c.sk, c.h*c.d)}
			g := buildGraph(t, b)
			_, s := runBoth(t, g, in, 2e-5)
			wantFused(t, s, "attention", 1)
			if s.Steps != 5 { // the masks are constants and so is their sum
				t.Errorf("%d steps, want 5: four products and the attention", s.Steps)
			}
		})
	}
}

func TestFuseAttentionRefuses(t *testing.T) {
	shape := []int{2, 3, 6, 8}
	kt := map[string]Attr{"perm": IntsAttr(0, 1, 3, 2)}
	forms := map[string]func(b *Builder, x ValueID) ValueID{
		"softmax over queries": func(b *Builder, x ValueID) ValueID {
			s := b.Op("MatMul", x, b.OpA("Transpose", kt, x))
			return b.Op("MatMul", b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-2)}, s), x)
		},
		"scores are an output": func(b *Builder, x ValueID) ValueID {
			s := b.Op("MatMul", x, b.OpA("Transpose", kt, x))
			b.Output("scores", s)
			return b.Op("MatMul", b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, s), x)
		},
		"scale outside of the mask": func(b *Builder, x ValueID) ValueID {
			s := b.Op("MatMul", x, b.OpA("Transpose", kt, x))
			s = b.Op("Mul", b.Op("Add", s, b.Const(randn(3, 6, 6))), b.Const(f32(0.5)))
			return b.Op("MatMul", b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, s), x)
		},
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			g, in := one(t, shape, f)
			_, s := runBoth(t, g, in, 1e-5)
			wantFused(t, s, "attention", 0)
		})
	}
}

// TestHeadsAreMergedOnlyForOneReader: a result that is also an output keeps its layout.
func TestHeadsAreMergedOnlyForOneReader(t *testing.T) {
	g, in := one(t, []int{2, 3, 6, 8}, func(b *Builder, x ValueID) ValueID {
		s := b.Op("MatMul", x, b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 1, 3, 2)}, x))
		y := b.Op("MatMul", b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, s), x)
		b.Output("heads", y)
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, y)
	})
	_, s := runBoth(t, g, in, 1e-5)
	wantFused(t, s, "attention", 1)
	wantFused(t, s, "heads", 0)
	if s.Steps != 2 {
		t.Errorf("%d steps, want attention and transpose", s.Steps)
	}
}

func TestStandardAttention(t *testing.T) {
	b := NewBuilder("attention23").Opset("", 23)
	x := b.Input("x", tensor.F32, 2, 6, 24)
	attrs := map[string]Attr{"q_num_heads": IntAttr(3), "kv_num_heads": IntAttr(3)}
	b.Output("y", b.OpA("Attention", attrs, x, x, x))
	in := map[string]tensor.Tensor{"x": randn(1, 2, 6, 24)}
	got, s := runWith(t, buildGraph(t, b), in, Options{Paranoid: true})
	wantFused(t, s, "attention", 1)
	want := referenceAttention(in["x"].F32(), 2, 6, 3, 8)
	compareTensors(t, "y", got["y"], tensor.FromF32(want, 2, 6, 24), 1e-5)
}

// referenceAttention is self-attention of [b,s,h·d] in float64.
func referenceAttention(x []float32, b, s, h, d int) []float32 {
	out := make([]float32, len(x))
	at := func(n, t, head, c int) float64 { return float64(x[(n*s+t)*h*d+head*d+c]) }
	for n := range b {
		for head := range h {
			for i := range s {
				p := make([]float64, s)
				for j := range p {
					for c := range d {
						p[j] += at(n, i, head, c) * at(n, j, head, c) / math.Sqrt(float64(d))
					}
				}
				top, sum := slices.Max(p), 0.0
				for j := range p {
					p[j] = math.Exp(p[j] - top)
					sum += p[j]
				}
				for c := range d {
					v := 0.0
					for j := range p {
						v += p[j] / sum * at(n, j, head, c)
					}
					out[(n*s+i)*h*d+head*d+c] = float32(v)
				}
			}
		}
	}
	return out
}
