package graph

import (
	"io"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// lowRankCase is a weight of 12×10 with an adapter of rank 2 beside it: one scale for all samples, or one each.
func lowRankCase(samples, scales int, leak bool) gradCase {
	return gradCase{
		name: "adapter",
		build: func(b *Builder, dt tensor.DType) {
			x := b.Op("Tanh", b.Input("x", dt, samples, 5, 12))
			w := randn(3, 12, 10)
			if dt == tensor.F64 {
				w = tensor.FromF64(slices.Collect(widened(w)), 12, 10)
			}
			s := b.Op("Reshape", b.Op("Expand", b.Op("Reshape", b.Input("s", dt, scales), b.Const(i64s(-1, 1))), b.Const(i64s(int64(scales), int64(samples/scales)))), b.Const(i64s(int64(samples), 1, 1)))
			h := b.Op("MatMul", x, b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(1, 0)}, b.Input("A", dt, 2, 12)))
			if leak {
				b.Output("h", h)
			}
			delta := b.Op("MatMul", b.Op("Mul", h, s), b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(1, 0)}, b.Input("B", dt, 10, 2)))
			y := b.Op("Add", b.Op("MatMul", x, b.Const(w)), delta)
			b.Output("y", b.Op("Add", y, b.Input("bias", dt, 10)))
		},
		in: map[string]tensor.Tensor{
			"x": f64s(11, samples, 5, 12), "s": f64s(12, scales), "A": f64s(13, 2, 12), "B": f64s(14, 10, 2), "bias": f64s(15, 10),
		},
	}
}

func widened(t tensor.Tensor) func(func(float64) bool) {
	return func(yield func(float64) bool) {
		for _, v := range t.F32() {
			if !yield(float64(v)) {
				return
			}
		}
	}
}

// f64s returns a float64 tensor of normal numbers.
func f64s(seed uint64, shape ...int) tensor.Tensor {
	return tensor.FromF64(slices.Collect(widened(randn(seed, shape...))), shape...)
}

// TestFuseLowRank: an adapter with one scale goes into the weight, and all gradients stay what they are.
func TestFuseLowRank(t *testing.T) {
	for name, c := range map[string]struct {
		samples, scales, want int
		leak                  bool
	}{"one scale": {2, 1, 1, false}, "one sample": {1, 1, 1, false}, "a scale each": {2, 2, 0, false}, "its inside is read": {2, 1, 0, true}} {
		t.Run(name, func(t *testing.T) {
			g := lowRankCase(c.samples, c.scales, c.leak)
			checkVJP(t, g)
			in := toF32(g.in)
			_, s := runBoth(t, g.graph(t, tensor.F32), in, 1e-6)
			wantFused(t, s, "low rank", c.want)
			_, _, s = runGradientSpec(t, g.graph(t, tensor.F32), in, map[string]tensor.Tensor{}, GradientSpec{Wrt: []string{"A", "B", "s"}}, Options{Log: io.Discard})
			wantFused(t, s, "low rank", c.want)
		})
	}
}

// TestFuseLowRank_off: a zero factor leaves the bits of the weight's own product.
func TestFuseLowRank_off(t *testing.T) {
	c := lowRankCase(2, 1, false)
	in := toF32(c.in)
	in["B"] = tensor.New(tensor.F32, 10, 2)
	got, s := runWith(t, c.graph(t, tensor.F32), in, Options{})
	wantFused(t, s, "low rank", 1)
	b := NewBuilder("plain")
	x := b.Op("Tanh", b.Input("x", tensor.F32, 2, 5, 12))
	b.Output("y", b.Op("Add", b.Op("MatMul", x, b.Const(randn(3, 12, 10))), b.Input("bias", tensor.F32, 10)))
	want, _ := runWith(t, buildGraph(t, b), map[string]tensor.Tensor{"x": in["x"], "bias": in["bias"]}, Options{})
	if !slices.Equal(got["y"].Data, want["y"].Data) {
		t.Error("the bits differ")
	}
}

// TestLowRankPays: small weights take the adapter in, wide ones under a small rank do not.
func TestLowRankPays(t *testing.T) {
	for _, c := range []struct {
		in, out, r int
		want       bool
	}{{64, 64, 8, true}, {96, 80, 8, true}, {320, 320, 8, false}, {1280, 1280, 8, false}, {320, 320, 32, true}, {320, 320, 64, false}} {
		if got := lowRankPays(c.in, c.out, c.r); got != c.want {
			t.Errorf("%d×%d, rank %d: %v", c.in, c.out, c.r, got)
		}
	}
}
