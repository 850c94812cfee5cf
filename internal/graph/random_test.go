package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/internal/tensor"
)

// growth adds one random operation over a value of shape [2,4,6].
var growth = []func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID{
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID { return b.Op("Add", pick(), pick()) },
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID { return b.Op("Mul", pick(), pick()) },
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID { return b.Op("Sub", pick(), pick()) },
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID { return b.Op("Tanh", pick()) },
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID { return b.Op("Sigmoid", pick()) },
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		x := pick()
		return b.Op("Mul", x, b.Op("Sigmoid", x))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return geluForms["torchscript"](b, b.Op("Tanh", pick()))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return b.Op("MatMul", b.Op("Tanh", pick()), b.Const(randn(r.Uint64(), 6, 6)))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return b.Op("Add", b.Op("MatMul", b.Op("Tanh", pick()), b.Const(randn(r.Uint64(), 6, 6))), b.Const(randn(r.Uint64(), 6)))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		t := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1)}, b.Op("Tanh", pick()))
		return b.Op("MatMul", b.Op("MatMul", b.Op("Tanh", pick()), t), b.Op("Tanh", pick()))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		v := b.Op("Reshape", pick(), b.Const(i64s(2, 3, 8)))
		return b.Op("Reshape", b.Op("Neg", v), b.Const(i64s(2, 4, 6)))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		t := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(2, 0, 1)}, pick())
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(1, 2, 0)}, b.Op("Abs", t))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return layerNormOf(b, pick(), 6, r.IntN(2) == 0, true, 1e-2)
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		h := b.OpN("Split", map[string]Attr{"axis": IntAttr(1)}, 2, pick(), b.Const(i64s(1, 3)))
		return b.OpA("Concat", map[string]Attr{"axis": IntAttr(1)}, h[1], b.Op("Neg", h[0]))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return b.Op("Add", pick(), b.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(1)}, pick()))
	},
	func(b *Builder, r *rand.Rand, pick func() ValueID) ValueID {
		return b.Op("Mul", pick(), b.Const(f32(float32(r.IntN(3))/2)))
	},
}

// randomGraph draws a graph of the growth rules.
func randomGraph(t testing.TB, seed uint64) (*Graph, map[string]tensor.Tensor) {
	r := rand.New(rand.NewPCG(seed, 3))
	b := NewBuilder("random")
	values := []ValueID{b.Input("x", tensor.F32, 2, 4, 6), b.Input("y", tensor.F32, 2, 4, 6)}
	pick := func() ValueID {
		if r.IntN(2) == 0 {
			return values[len(values)-1]
		}
		return values[r.IntN(len(values))]
	}
	for range 3 + r.IntN(25) {
		// tanh keeps products of products in range
		values = append(values, b.Op("Tanh", growth[r.IntN(len(growth))](b, r, pick)))
		if r.IntN(3) == 0 {
			values = append(values, growth[r.IntN(len(growth))](b, r, pick))
		}
	}
	b.Output("last", values[len(values)-1])
	b.Output("middle", b.Op("Neg", values[len(values)/2]))
	return buildGraph(t, b), map[string]tensor.Tensor{"x": randn(seed, 2, 4, 6), "y": randn(seed+1000, 2, 4, 6)}
}

// runConditioned is runBoth with the tolerance that the graph deserves: random networks may amplify rounding, so results
// may differ by 1e-5 and by four times what a change of the inputs by one in a million does to the plain execution.
func runConditioned(t *testing.T, g *Graph, in map[string]tensor.Tensor) {
	t.Helper()
	near := map[string]tensor.Tensor{}
	for name, x := range in {
		near[name] = x.Clone()
		for i := range near[name].F32() {
			near[name].F32()[i] *= 1 + 1e-6*float32(i%3-1)
		}
	}
	plain, _ := runWith(t, g, in, Options{NoFusion: true, NoReuse: true})
	moved, _ := runWith(t, g, near, Options{NoFusion: true, NoReuse: true})
	fused, _ := runWith(t, g, in, Options{Paranoid: true})
	for name, want := range plain {
		w, m, f := want.F32(), moved[name].F32(), fused[name].F32()
		worst, scale := 0.0, 0.1 // intermediate values are of order one
		for i, v := range w {
			worst = max(worst, math.Abs(float64(v)-float64(m[i])))
			scale = max(scale, math.Abs(float64(v)))
		}
		for i, v := range w {
			if d := math.Abs(float64(v) - float64(f[i])); !(d <= 1e-5*scale+4*worst) {
				t.Fatalf("%s[%d]: got %g, want %g (scale %g, conditioning %g)", name, i, f[i], v, scale, worst)
			}
		}
	}
}

// TestRandomGraphs holds the optimised execution (rewrites, views, memory reuse, guards, poisoned memory) against the
// plain one on random graphs.
func TestRandomGraphs(t *testing.T) {
	n := uint64(150)
	if testing.Short() {
		n = 30
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g, in := randomGraph(t, seed)
			runConditioned(t, g, in)
		})
	}
}

// FuzzRandomGraphs is TestRandomGraphs for as many seeds as one likes.
func FuzzRandomGraphs(f *testing.F) {
	f.Add(uint64(325)) // badly conditioned
	f.Fuzz(func(t *testing.T, seed uint64) {
		g, in := randomGraph(t, seed)
		runConditioned(t, g, in)
		g, in = randomImageGraph(t, seed)
		runConditioned(t, g, in)
	})
}
