package graph

import (
	"fmt"
	"math"
	"testing"

	"winnow/internal/tensor"
)

// one builds a graph with a single float input x and a single output y.
func one(t *testing.T, shape []int, f func(b *Builder, x ValueID) ValueID) (*Graph, map[string]tensor.Tensor) {
	t.Helper()
	b := NewBuilder(t.Name())
	x := b.Input("x", tensor.F32, shape...)
	b.Output("y", f(b, x))
	return buildGraph(t, b), map[string]tensor.Tensor{"x": randn(1, shape...)}
}

func TestFuseSilu(t *testing.T) {
	forms := map[string]func(b *Builder, x ValueID) ValueID{
		"x*s": func(b *Builder, x ValueID) ValueID { return b.Op("Mul", x, b.Op("Sigmoid", x)) },
		"s*x": func(b *Builder, x ValueID) ValueID { return b.Op("Mul", b.Op("Sigmoid", x), x) },
		"quick": func(b *Builder, x ValueID) ValueID {
			return b.Op("Mul", x, b.Op("Sigmoid", b.Op("Mul", x, b.Const(f32(1.702)))))
		},
		"quick reversed": func(b *Builder, x ValueID) ValueID {
			return b.Op("Mul", b.Op("Sigmoid", b.Op("Mul", b.Const(f32(1.702)), x)), x)
		},
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			g, in := one(t, []int{3, 37}, f)
			_, s := runBoth(t, g, in, 1e-6)
			wantFused(t, s, "silu", 1)
			if s.Steps != 1 {
				t.Errorf("%d steps, want 1", s.Steps)
			}
		})
	}
	t.Run("other operand", func(t *testing.T) {
		g, in := one(t, []int{3, 37}, func(b *Builder, x ValueID) ValueID {
			return b.Op("Mul", b.Op("Neg", x), b.Op("Sigmoid", x))
		})
		_, s := runBoth(t, g, in, 1e-6)
		wantFused(t, s, "silu", 0)
	})
}

// geluForms are the spellings met in exports; c is the constant 1/2 in the place it has there.
var geluForms = map[string]func(b *Builder, x ValueID) ValueID{
	"torchscript": func(b *Builder, x ValueID) ValueID {
		e := b.Op("Erf", b.Op("Div", x, b.Const(f32(math.Sqrt2))))
		return b.Op("Mul", b.Op("Mul", x, b.Op("Add", e, b.Const(f32(1)))), b.Const(f32(0.5)))
	},
	"dynamo": func(b *Builder, x ValueID) ValueID {
		e := b.Op("Erf", b.Op("Mul", x, b.Const(f32(math.Sqrt2/2))))
		return b.Op("Mul", b.Op("Mul", x, b.Const(f32(0.5))), b.Op("Add", e, b.Const(f32(1))))
	},
	"half first": func(b *Builder, x ValueID) ValueID {
		e := b.Op("Erf", b.Op("Div", x, b.Const(f32(math.Sqrt2))))
		return b.Op("Mul", b.Const(f32(0.5)), b.Op("Mul", b.Op("Add", b.Const(f32(1)), e), x))
	},
	"tanh cubic": func(b *Builder, x ValueID) ValueID {
		x3 := b.Op("Pow", x, b.Const(f32(3)))
		u := b.Op("Mul", b.Op("Add", x, b.Op("Mul", x3, b.Const(f32(0.044715)))), b.Const(f32(0.7978845608)))
		return b.Op("Mul", b.Op("Mul", b.Const(f32(0.5)), x), b.Op("Add", b.Op("Tanh", u), b.Const(f32(1))))
	},
	"tanh factored": func(b *Builder, x ValueID) ValueID {
		x2 := b.Op("Mul", x, x)
		u := b.Op("Mul", b.Op("Mul", x, b.Const(f32(0.7978845608))),
			b.Op("Add", b.Op("Mul", x2, b.Const(f32(0.044715))), b.Const(f32(1))))
		return b.Op("Mul", b.Op("Mul", x, b.Op("Add", b.Op("Tanh", u), b.Const(f32(1)))), b.Const(f32(0.5)))
	},
}

func TestFuseGelu(t *testing.T) {
	for name, f := range geluForms {
		t.Run(name, func(t *testing.T) {
			g, in := one(t, []int{5, 33}, f)
			_, s := runBoth(t, g, in, 2e-6)
			wantFused(t, s, "gelu", 1)
			if s.Steps != 1 {
				t.Errorf("%d steps, want 1", s.Steps)
			}
		})
	}
	wrong := map[string]func(b *Builder, x ValueID) ValueID{
		"other scale": func(b *Builder, x ValueID) ValueID {
			e := b.Op("Erf", b.Op("Mul", x, b.Const(f32(0.8))))
			return b.Op("Mul", b.Op("Mul", x, b.Const(f32(0.5))), b.Op("Add", e, b.Const(f32(1))))
		},
		"not halved": func(b *Builder, x ValueID) ValueID {
			e := b.Op("Erf", b.Op("Mul", x, b.Const(f32(math.Sqrt2/2))))
			return b.Op("Mul", x, b.Op("Add", e, b.Const(f32(1))))
		},
		"other cubic": func(b *Builder, x ValueID) ValueID {
			x3 := b.Op("Pow", x, b.Const(f32(3)))
			u := b.Op("Mul", b.Op("Add", x, b.Op("Mul", x3, b.Const(f32(0.05)))), b.Const(f32(0.7978845608)))
			return b.Op("Mul", b.Op("Mul", b.Const(f32(0.5)), x), b.Op("Add", b.Op("Tanh", u), b.Const(f32(1))))
		},
	}
	for name, f := range wrong {
		t.Run("not "+name, func(t *testing.T) {
			g, in := one(t, []int{5, 33}, f)
			_, s := runBoth(t, g, in, 2e-6)
			wantFused(t, s, "gelu", 0)
		})
	}
}

func TestFuseGEGLU(t *testing.T) {
	slice := func(b *Builder, x ValueID, from, to int64) ValueID {
		return b.Op("Slice", x, b.Const(i64s(from)), b.Const(i64s(to)), b.Const(i64s(-1)))
	}
	gelu := geluForms["torchscript"]
	t.Run("split", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 24}, func(b *Builder, x ValueID) ValueID {
			h := b.OpN("Split", map[string]Attr{"axis": IntAttr(-1)}, 2, x, b.Const(i64s(12, 12)))
			return b.Op("Mul", h[0], gelu(b, h[1]))
		})
		_, s := runBoth(t, g, in, 2e-6)
		wantFused(t, s, "geglu", 1)
	})
	t.Run("slices, gate first", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 24}, func(b *Builder, x ValueID) ValueID {
			return b.Op("Mul", gelu(b, slice(b, x, 0, 12)), slice(b, x, 12, 24))
		})
		_, s := runBoth(t, g, in, 2e-6)
		wantFused(t, s, "geglu", 1)
	})
	t.Run("overlapping slices", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 24}, func(b *Builder, x ValueID) ValueID {
			return b.Op("Mul", slice(b, x, 0, 12), gelu(b, slice(b, x, 6, 18)))
		})
		_, s := runBoth(t, g, in, 2e-6)
		wantFused(t, s, "geglu", 0)
	})
}

// groupNormOf writes the exporters' form for x of shape.
func groupNormOf(b *Builder, x ValueID, shape []int, groups int, affine bool) ValueID {
	n, c := shape[0], shape[1]
	ones, zeros := make([]float32, groups), make([]float32, groups)
	for i := range ones {
		ones[i] = 1
	}
	r := b.Op("Reshape", x, b.Const(i64s(int64(n), int64(groups), -1)))
	y := b.OpA("InstanceNormalization", map[string]Attr{"epsilon": FloatAttr(1e-5)}, r,
		b.Const(tensor.FromF32(ones, groups)), b.Const(tensor.FromF32(zeros, groups)))
	dims := make([]int64, len(shape))
	for i, d := range shape {
		dims[i] = int64(d)
	}
	y = b.Op("Reshape", y, b.Const(i64s(dims...)))
	if !affine {
		return y
	}
	per := []int{c}
	for range shape[2:] {
		per = append(per, 1)
	}
	return b.Op("Add", b.Op("Mul", y, b.Const(randn(5, per...))), b.Const(randn(6, per...)))
}

func TestFuseGroupNorm(t *testing.T) {
	for _, affine := range []bool{true, false} {
		for _, shape := range [][]int{{2, 12, 5, 7}, {2, 12, 9}} {
			t.Run(fmt.Sprint(affine, shape), func(t *testing.T) {
				g, in := one(t, shape, func(b *Builder, x ValueID) ValueID {
					y := groupNormOf(b, x, shape, 4, affine)
					return b.Op("Mul", y, b.Op("Sigmoid", y))
				})
				_, s := runBoth(t, g, in, 1e-5)
				wantFused(t, s, "groupnorm", 1)
				wantFused(t, s, "groupnorm activation", 1)
				if s.Steps != 1 {
					t.Errorf("%d steps, want 1", s.Steps)
				}
			})
		}
	}
	t.Run("other shape after", func(t *testing.T) {
		g, in := one(t, []int{2, 12, 5, 7}, func(b *Builder, x ValueID) ValueID {
			y := groupNormOf(b, x, []int{2, 12, 5, 7}, 4, false)
			return b.Op("Reshape", y, b.Const(i64s(2, 12, 35)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		if s.Steps > 2 {
			t.Errorf("%d steps", s.Steps)
		}
	})
	t.Run("groups across samples", func(t *testing.T) {
		g, in := one(t, []int{2, 12, 5, 7}, func(b *Builder, x ValueID) ValueID {
			ones := tensor.FromF32([]float32{1, 1, 1}, 3)
			r := b.Op("Reshape", x, b.Const(i64s(4, 3, -1)))
			y := b.Op("InstanceNormalization", r, b.Const(ones), b.Const(tensor.New(tensor.F32, 3)))
			return b.Op("Reshape", y, b.Const(i64s(2, 12, 5, 7)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "groupnorm", 0)
	})
	t.Run("own scale", func(t *testing.T) {
		g, in := one(t, []int{2, 12, 5, 7}, func(b *Builder, x ValueID) ValueID {
			r := b.Op("Reshape", x, b.Const(i64s(2, 4, -1)))
			y := b.Op("InstanceNormalization", r, b.Const(randn(3, 4)), b.Const(randn(4, 4)))
			return b.Op("Reshape", y, b.Const(i64s(2, 12, 5, 7)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "groupnorm", 0)
	})
}

// layerNormOf writes layer normalisation by hand.
func layerNormOf(b *Builder, x ValueID, n int, affine, pow bool, eps float32) ValueID {
	mean := map[string]Attr{"axes": IntsAttr(-1)}
	d := b.Op("Sub", x, b.OpA("ReduceMean", mean, x))
	sq := b.Op("Mul", d, d)
	if pow {
		sq = b.Op("Pow", d, b.Const(f32(2)))
	}
	y := b.Op("Div", d, b.Op("Sqrt", b.Op("Add", b.OpA("ReduceMean", mean, sq), b.Const(f32(eps)))))
	if affine {
		y = b.Op("Add", b.Op("Mul", y, b.Const(randn(7, n))), b.Const(randn(8, n)))
	}
	return y
}

func TestFuseLayerNorm(t *testing.T) {
	for _, affine := range []bool{true, false} {
		for _, pow := range []bool{true, false} {
			g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
				return layerNormOf(b, x, 20, affine, pow, 1e-5)
			})
			_, s := runBoth(t, g, in, 1e-5)
			wantFused(t, s, "layernorm", 1)
			if s.Steps != 1 {
				t.Errorf("%d steps, want 1", s.Steps)
			}
		}
	}
	t.Run("other mean", func(t *testing.T) {
		g, in := one(t, []int{2, 9, 20}, func(b *Builder, x ValueID) ValueID {
			mean := map[string]Attr{"axes": IntsAttr(-1)}
			d := b.Op("Sub", x, b.OpA("ReduceMean", mean, b.Op("Abs", x)))
			v := b.OpA("ReduceMean", mean, b.Op("Mul", d, d))
			return b.Op("Div", d, b.Op("Sqrt", b.Op("Add", v, b.Const(f32(1e-5)))))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "layernorm", 0)
	})
}

func TestFuseEpilogues(t *testing.T) {
	silu := func(b *Builder, x ValueID) ValueID { return b.Op("Mul", x, b.Op("Sigmoid", x)) }
	conv := map[string]Attr{"kernel_shape": IntsAttr(3, 3), "pads": IntsAttr(1, 1, 1, 1)}
	t.Run("conv bias silu residual", func(t *testing.T) {
		g, in := one(t, []int{2, 6, 9, 8}, func(b *Builder, x ValueID) ValueID {
			y := b.OpA("Conv", conv, x, b.Const(randn(2, 6, 6, 3, 3)))
			y = silu(b, b.Op("Add", y, b.Const(randn(3, 6, 1, 1))))
			return b.Op("Add", x, y)
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "bias", 1)
		wantFused(t, s, "activation", 1)
		wantFused(t, s, "residual", 1)
		if s.Steps != 1 {
			t.Errorf("%d steps, want 1", s.Steps)
		}
	})
	t.Run("linear bias gelu residual", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.Op("Add", b.Const(randn(3, 20)), b.Op("MatMul", x, b.Const(randn(2, 20, 20))))
			return b.Op("Add", geluForms["torchscript"](b, y), x)
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "bias", 1)
		wantFused(t, s, "residual", 1)
		if s.Steps != 1 {
			t.Errorf("%d steps, want 1", s.Steps)
		}
	})
	t.Run("intermediate read twice", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.Op("MatMul", x, b.Const(randn(2, 20, 20)))
			return b.Op("Mul", b.Op("Relu", y), b.Op("Neg", y))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "activation", 0)
	})
	t.Run("scale after a bias", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.Op("Add", b.Op("MatMul", x, b.Const(randn(2, 20, 20))), b.Const(randn(3, 20)))
			return b.Op("Mul", y, b.Const(f32(0.5)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "bias", 1)
		wantFused(t, s, "scale", 0)
	})
	t.Run("product read twice takes no residual", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.Op("MatMul", x, b.Const(randn(2, 20, 20)))
			return b.Op("Add", b.Op("Add", x, y), b.Op("Neg", y))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "residual", 0)
	})
	t.Run("broadcast addend is no residual", func(t *testing.T) {
		g, in := one(t, []int{2, 7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.Op("MatMul", x, b.Const(randn(2, 20, 20)))
			return b.Op("Add", y, b.Const(randn(4, 7, 1)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "residual", 0)
		wantFused(t, s, "bias", 0)
	})
	t.Run("scale and transposed weight", func(t *testing.T) {
		g, in := one(t, []int{7, 20}, func(b *Builder, x ValueID) ValueID {
			w := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(1, 0)}, b.Op("Neg", x))
			return b.Op("Mul", b.Op("MatMul", x, w), b.Const(f32(0.25)))
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "linear", 1)
		wantFused(t, s, "scale", 1)
	})
	t.Run("gemm", func(t *testing.T) {
		g, in := one(t, []int{7, 20}, func(b *Builder, x ValueID) ValueID {
			y := b.OpA("Gemm", map[string]Attr{"transB": IntAttr(1)}, x, b.Const(randn(2, 12, 20)), b.Const(randn(3, 12)))
			return b.Op("Relu", y)
		})
		_, s := runBoth(t, g, in, 1e-5)
		wantFused(t, s, "linear", 1)
		wantFused(t, s, "activation", 1)
	})
}
