package graph

import (
	"testing"

	"winnow/internal/tensor"
)

// rmsForms are the spellings of x/sqrt(mean x² + eps) met in exports.
var rmsForms = map[string]func(b *Builder, x, root ValueID) ValueID{
	"quotient":    func(b *Builder, x, root ValueID) ValueID { return b.Op("Div", x, root) },
	"torchscript": func(b *Builder, x, root ValueID) ValueID { return b.Op("Mul", x, b.Op("Div", b.Const(f32(1)), root)) },
	"dynamo":      func(b *Builder, x, root ValueID) ValueID { return b.Op("Mul", b.Op("Reciprocal", root), x) },
}

// rmsNormOf writes RMSNorm over the last axis of length n.
func rmsNormOf(b *Builder, x ValueID, n int, form string, square ValueID, scaled bool) ValueID {
	mean := b.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(-1)}, square)
	y := rmsForms[form](b, x, b.Op("Sqrt", b.Op("Add", mean, b.Const(f32(1e-3)))))
	if scaled {
		y = b.Op("Mul", b.Const(randn(5, n)), y)
	}
	return y
}

func TestFuseRMSNorm(t *testing.T) {
	for form := range rmsForms {
		for name, scaled := range map[string]bool{"scaled": true, "plain": false} {
			t.Run(form+" "+name, func(t *testing.T) {
				g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
					return rmsNormOf(b, x, 20, form, b.Op("Pow", x, b.Const(f32(2))), scaled)
				})
				_, s := runBoth(t, g, in, 1e-5)
				wantFused(t, s, "rmsnorm", 1)
				if s.Steps != 1 {
					t.Errorf("%d steps, want 1", s.Steps)
				}
			})
		}
	}
	t.Run("float64", func(t *testing.T) {
		g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
			to := func(v ValueID, dt tensor.DType) ValueID {
				return b.OpA("Cast", map[string]Attr{"to": IntAttr(int(dt.ONNX()))}, v)
			}
			x = to(x, tensor.F64)
			mean := b.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(-1)}, b.Op("Mul", x, x))
			eps := b.Const(tensor.FromF64([]float64{1e-3}))
			return to(b.Op("Div", x, b.Op("Sqrt", b.Op("Add", mean, eps))), tensor.F32)
		})
		_, s := runBoth(t, g, in, 1e-6)
		wantFused(t, s, "rmsnorm", 1)
	})
	t.Run("square of another value", func(t *testing.T) {
		g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
			z := b.Op("Tanh", x)
			return rmsNormOf(b, x, 20, "quotient", b.Op("Mul", z, z), true)
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "rmsnorm", 0)
	})
	t.Run("divided by something else", func(t *testing.T) {
		g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
			mean := b.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(-1)}, b.Op("Mul", x, x))
			return b.Op("Mul", x, b.Op("Div", b.Const(f32(2)), b.Op("Sqrt", b.Op("Add", mean, b.Const(f32(1e-3))))))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "rmsnorm", 0)
	})
}

// jointAttention writes the attention of SD3: pictures and texts are projected and normalised on their own, then attend
// to each other. With leak the normalised queries of the texts are an output too.
func jointAttention(b *Builder, x, y ValueID, leak bool) ValueID {
	const heads, d = 3, 8
	stream := func(in ValueID, s int64, seed uint64, norm bool) ValueID {
		w := b.Const(randn(seed, heads*d, heads*d))
		p := b.Op("Reshape", b.Op("MatMul", in, w), b.Const(i64s(2, s, heads, d)))
		p = b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, p)
		if !norm {
			return p
		}
		return rmsNormOf(b, p, d, "dynamo", b.Op("Mul", p, p), true)
	}
	joint := func(seed uint64, norm bool) ValueID {
		text := stream(y, 5, seed+1, norm)
		if leak && seed == 21 {
			b.Output("text", text)
		}
		return b.OpA("Concat", map[string]Attr{"axis": IntAttr(2)}, stream(x, 9, seed, norm), text)
	}
	q, k, v := joint(21, true), joint(31, true), joint(41, false)
	kt := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 1, 3, 2)}, k)
	p := b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, b.Op("MatMul", q, kt))
	out := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, b.Op("MatMul", p, v))
	return b.Op("Reshape", out, b.Const(i64s(2, 14, heads*d)))
}

// TestHeadsOfJointAttention: no transpose is left where norms and concatenations lie between projections and attention,
// unless something else reads a value in between.
func TestHeadsOfJointAttention(t *testing.T) {
	// Six projections, four norms, three concatenations and the attention; a leak keeps the two query transposes.
	for name, want := range map[string]int{"closed": 14, "leak": 16} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("joint")
			x, y := b.Input("x", tensor.F32, 2, 9, 24), b.Input("y", tensor.F32, 2, 5, 24)
			b.Output("out", jointAttention(b, x, y, name == "leak"))
			in := map[string]tensor.Tensor{"x": randn(1, 2, 9, 24), "y": randn(2, 2, 5, 24)}
			_, s := runBoth(t, buildGraph(t, b), in, 2e-5)
			wantFused(t, s, "rmsnorm", 4)
			wantFused(t, s, "attention", 1)
			if s.Steps != want {
				t.Errorf("%d steps, want %d", s.Steps, want)
			}
		})
	}
}
