package graph

import (
	"math"
	"testing"

	"winnow/internal/tensor"
)

// addedZeros writes x·xᵀ + factor·zeros, as torch.baddbmm with beta = 0 is exported.
func addedZeros(b *Builder, x ValueID, factor float32, shape ...int64) ValueID {
	kt := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1)}, x)
	zeros := b.Op("Mul", b.Op("ConstantOfShape", b.Const(i64s(shape...))), b.Const(f32(factor)))
	return b.Op("Add", b.Op("MatMul", x, kt), zeros)
}

// TestAddedZerosVanish: neither small zeros nor large ones are made or added.
func TestAddedZerosVanish(t *testing.T) {
	for _, n := range []int{5, 160} {
		g, in := one(t, []int{2, n, 3}, func(b *Builder, x ValueID) ValueID {
			return addedZeros(b, x, 0, 2, int64(n), int64(n))
		})
		_, s := runBoth(t, g, in, 1e-6)
		if s.Steps != 1 || s.ConstBytes > 64 {
			t.Errorf("%d×%d: %d steps and %d bytes of constants, want the product alone", n, n, s.Steps, s.ConstBytes)
		}
	}
}

// TestZerosBeyondMemoryVanish: zeros of 16 GiB are no reason to refuse a network that only asks for their shape.
func TestZerosBeyondMemoryVanish(t *testing.T) {
	g, in := one(t, []int{2}, func(b *Builder, x ValueID) ValueID {
		huge := b.Op("Mul", b.Op("ConstantOfShape", b.Const(i64s(1<<16, 1<<16))), b.Const(f32(0)))
		return b.Op("Div", x, b.OpA("Cast", map[string]Attr{"to": IntAttr(1)}, b.Op("Shape", huge)))
	})
	got, _ := runWith(t, g, in, Options{Paranoid: true})
	want := []float32{in["x"].F32()[0] / (1 << 16), in["x"].F32()[1] / (1 << 16)}
	compareTensors(t, "y", got["y"], tensor.FromF32(want, 2), 1e-7)
}

// TestZerosAreMadeWhereTheyAreRead: other readers, other numbers and broadcasts see real zeros, as if they came from an
// input.
func TestZerosAreMadeWhereTheyAreRead(t *testing.T) {
	const n = 160
	rows := map[string]Attr{"axis": IntAttr(0)}
	forms := map[string]func(b *Builder, x, zeros ValueID) ValueID{
		"concat":       func(b *Builder, x, zeros ValueID) ValueID { return b.OpA("Concat", rows, x, zeros) },
		"from zero":    func(b *Builder, x, zeros ValueID) ValueID { return b.Op("Sub", zeros, x) },
		"of broadcast": func(b *Builder, x, zeros ValueID) ValueID { return b.Op("Add", b.Op("ReduceSum", x), zeros) },
		"exponential":  func(b *Builder, x, zeros ValueID) ValueID { return b.Op("Add", x, b.Op("Exp", zeros)) },
		"infinite factor": func(b *Builder, x, zeros ValueID) ValueID {
			return b.Op("IsNaN", b.Op("Add", x, b.Op("Mul", zeros, b.Const(f32(float32(math.Inf(1)))))))
		},
		"output": func(b *Builder, x, zeros ValueID) ValueID {
			b.Output("zeros", b.Op("Identity", zeros))
			return b.Op("Add", x, zeros)
		},
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			in := map[string]tensor.Tensor{"x": randn(1, n, n), "zeros": tensor.New(tensor.F32, n, n)}
			build := func(zeros func(b *Builder) ValueID) *Graph {
				b := NewBuilder(name)
				x := b.Input("x", tensor.F32, n, n)
				b.Output("y", f(b, x, zeros(b)))
				return buildGraph(t, b)
			}
			want, _ := runWith(t, build(func(b *Builder) ValueID { return b.Input("zeros", tensor.F32, n, n) }), in, Options{})
			delete(in, "zeros")
			made := build(func(b *Builder) ValueID { return b.Op("ConstantOfShape", b.Const(i64s(n, n))) })
			got, _ := runWith(t, made, in, Options{Paranoid: true})
			for out, w := range want {
				compareTensors(t, out, got[out], w, 0)
			}
		})
	}
}
