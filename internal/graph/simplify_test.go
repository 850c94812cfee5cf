package graph

import (
	"slices"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

func TestSimplify(t *testing.T) {
	perm := func(b *Builder, x ValueID, p ...int) ValueID {
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(p...)}, x)
	}
	cases := map[string]struct {
		shape []int
		steps int
		f     func(b *Builder, x ValueID) ValueID
	}{
		"neutral elements": {[]int{2, 3}, 1, func(b *Builder, x ValueID) ValueID {
			y := b.Op("Add", b.Const(f32(0)), b.Op("Mul", x, b.Const(f32(1))))
			return b.Op("Exp", b.Op("Sub", b.Op("Div", y, b.Const(f32(1))), b.Const(f32(0))))
		}},
		"zero minus x is work": {[]int{2, 3}, 1, func(b *Builder, x ValueID) ValueID {
			return b.Op("Sub", b.Const(f32(0)), x)
		}},
		"neutral element that broadcasts is work": {[]int{2, 3}, 1, func(b *Builder, x ValueID) ValueID {
			return b.Op("Add", x, b.Const(tensor.FromF32([]float32{0}, 1, 1, 1)))
		}},
		"inverse transposes": {[]int{2, 3, 4}, 1, func(b *Builder, x ValueID) ValueID {
			return b.Op("Exp", perm(b, perm(b, x, 2, 0, 1), 1, 2, 0))
		}},
		"two transposes are one": {[]int{2, 3, 4}, 1, func(b *Builder, x ValueID) ValueID {
			return perm(b, perm(b, x, 0, 2, 1), 1, 0, 2)
		}},
		"transpose of ones is a view": {[]int{1, 3, 1, 4}, 1, func(b *Builder, x ValueID) ValueID {
			return b.Op("Exp", perm(b, x, 2, 1, 0, 3))
		}},
		"reshapes and back": {[]int{2, 12}, 1, func(b *Builder, x ValueID) ValueID {
			y := b.Op("Reshape", x, b.Const(i64s(2, 3, 4)))
			y = b.Op("Unsqueeze", b.Op("Reshape", y, b.Const(i64s(6, 4))), b.Const(i64s(0)))
			return b.Op("Exp", b.Op("Reshape", y, b.Const(i64s(2, 12))))
		}},
		"expand to itself": {[]int{2, 3}, 1, func(b *Builder, x ValueID) ValueID {
			return b.Op("Exp", b.Op("Expand", x, b.Const(i64s(2, 1))))
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g, in := one(t, c.shape, c.f)
			_, s := runBoth(t, g, in, 0)
			if s.Steps != c.steps {
				t.Errorf("%d steps, want %d", s.Steps, c.steps)
			}
		})
	}
}

// TestTransposedWeightIsNotCopied checks that a large transposed constant is packed from the file's layout instead of
// being folded into a second copy, and that one nobody packs is folded all the same.
func TestTransposedWeightIsNotCopied(t *testing.T) {
	w := randn(2, 160, 128)
	tr := map[string]Attr{"perm": IntsAttr(1, 0)}
	build := func(op string) *Graph {
		b := NewBuilder("weights")
		x := b.Input("x", tensor.F32, 128, 128)
		wt := b.OpA("Transpose", tr, b.Const(w))
		if op == "MatMul" {
			b.Output("y", b.Op("MatMul", x, wt))
		} else {
			b.Output("y", b.Op("Sub", b.Op("ReduceMax", x), wt))
		}
		return buildGraph(t, b)
	}
	in := map[string]tensor.Tensor{"x": randn(1, 128, 128)}
	_, s := runBoth(t, build("MatMul"), in, 1e-5)
	if wantFused(t, s, "linear", 1); s.Steps != 1 || s.ConstBytes != 0 {
		t.Errorf("product: %d steps, %d bytes of constants, want 1 and 0", s.Steps, s.ConstBytes)
	}
	if _, s = runBoth(t, build("Sub"), in, 0); s.Steps != 2 || s.ConstBytes != len(w.Data) {
		t.Errorf("difference: %d steps, %d bytes of constants", s.Steps, s.ConstBytes)
	}
}

// TestHalfPrecisionRewrites checks that the casts which exporters put around sensitive operators of float16 models do
// not hide the structures.
func TestHalfPrecisionRewrites(t *testing.T) {
	cast := func(b *Builder, x ValueID, to int) ValueID {
		return b.OpA("Cast", map[string]Attr{"to": IntAttr(to)}, x)
	}
	half := func(x tensor.Tensor) tensor.Tensor {
		h := make([]uint16, x.Elems())
		for i, v := range x.F32() {
			h[i] = tensor.F32ToF16(v)
		}
		return tensor.FromF16(h, x.Shape...)
	}
	b := NewBuilder("half")
	x := b.Input("x", tensor.F16, 2, 8, 4, 4)
	r := cast(b, b.Op("Reshape", x, b.Const(i64s(2, 4, -1))), 1)
	ones := tensor.FromF32([]float32{1, 1, 1, 1}, 4)
	y := b.Op("InstanceNormalization", r, b.Const(ones), b.Const(tensor.New(tensor.F32, 4)))
	y = b.Op("Reshape", cast(b, y, 10), b.Const(i64s(2, 8, 4, 4)))
	y = b.Op("Add", b.Op("Mul", y, b.Const(half(randn(3, 8, 1, 1)))), b.Const(half(randn(4, 8, 1, 1))))
	y = b.Op("Mul", y, b.Op("Sigmoid", y))
	y = b.Op("Reshape", y, b.Const(i64s(2, 8, 16)))
	s := b.Op("MatMul", y, b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1)}, y))
	p := cast(b, b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, cast(b, s, 1)), 10)
	b.Output("y", b.Op("MatMul", p, y))
	in := map[string]tensor.Tensor{"x": half(randn(1, 2, 8, 4, 4))}
	out, st := runBoth(t, buildGraph(t, b), in, 4e-3) // the resolution of the outputs
	wantFused(t, st, "groupnorm", 1)
	wantFused(t, st, "groupnorm activation", 1)
	wantFused(t, st, "attention", 1)
	if st.Steps != 2 || out["y"].DType != tensor.F16 {
		t.Errorf("%d steps, output %v", st.Steps, out["y"].DType)
	}
}

func TestStatsAndTypes(t *testing.T) {
	b := NewBuilder("types")
	x := b.InputDims("x", tensor.F16, Dim{-1, "n"}, Dim{Size: 4})
	b.Output("y", b.Op("Exp", x))
	p, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.Invalid, []int{3, 4}}}, &Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	in, out := p.Types()
	want := Type{tensor.F16, []int{3, 4}}
	if !in["x"].Equal(want) || !out["y"].Equal(want) {
		t.Errorf("types %v and %v", in, out)
	}
	s := p.Stats()
	if s.FileNodes != 1 || s.Steps != 1 || s.ArenaBytes < 3*4*4 || s.ArenaBytes%blockAlign != 0 {
		t.Errorf("%+v", s)
	}
	var plan strings.Builder
	if err := p.WritePlan(&plan); err != nil || !strings.Contains(plan.String(), "Exp [3,4] → [3,4] (Exp_0) @0+48 until 1") {
		t.Errorf("plan %q, %v", plan.String(), err)
	}
	if ops := Operators(); !slices.Contains(ops, "winnow.Silu/1") || !slices.Contains(ops, "Exp/6") && !slices.Contains(ops, "Exp/1") {
		t.Errorf("operators: %v", ops)
	}
}
