package graph

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"winnow/internal/tensor"
)

// imageGrowth adds one random block over a value of shape [2,8,6,5], as image networks are made of.
var imageGrowth = []func(b *Builder, r *rand.Rand, x, y ValueID) ValueID{
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		attrs := map[string]Attr{"kernel_shape": IntsAttr(3, 3), "pads": IntsAttr(1, 1, 1, 1)}
		return b.OpA("Conv", attrs, x, b.Const(small(randn(r.Uint64(), 8, 8, 3, 3))), b.Const(randn(r.Uint64(), 8)))
	},
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		c := b.OpA("Conv", map[string]Attr{"kernel_shape": IntsAttr(1, 1)}, x, b.Const(small(randn(r.Uint64(), 8, 8, 1, 1))))
		return b.Op("Add", c, b.Const(randn(r.Uint64(), 1, 8, 1, 1)))
	},
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		return groupNormOf(b, x, []int{2, 8, 6, 5}, 1<<r.IntN(4), r.IntN(3) > 0)
	},
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID { return b.Op("Mul", x, b.Op("Sigmoid", x)) },
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID { return b.Op("Add", x, y) },
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		cat := b.OpA("Concat", map[string]Attr{"axis": IntAttr(1)}, x, y)
		attrs := map[string]Attr{"kernel_shape": IntsAttr(3, 3), "pads": IntsAttr(1, 1, 1, 1)}
		return b.OpA("Conv", attrs, cat, b.Const(small(randn(r.Uint64(), 8, 16, 3, 3))))
	},
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		return b.Op("Add", x, b.Op("Unsqueeze", b.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(2, 3), "keepdims": IntAttr(0)}, y),
			b.Const(i64s(2, 3))))
	},
	// tokens: to [2,30,8], self-attention with two heads, back
	func(b *Builder, r *rand.Rand, x, y ValueID) ValueID {
		t := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 3, 1)}, x)
		t = b.Op("Reshape", t, b.Const(i64s(2, 30, 8)))
		c := attnCase{b: 2, s: 30, sk: 30, h: 2, d: 4, where: []string{"scores", "operands", "q"}[r.IntN(3)]}
		a := b.Op("Add", c.build(b, layerNormOf(b, t, 8, true, true, 1e-3), t), t)
		a = b.Op("Reshape", a, b.Const(i64s(2, 6, 5, 8)))
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 3, 1, 2)}, a)
	},
}

// small scales weights down, so that deep random networks keep their range.
func small(t tensor.Tensor) tensor.Tensor {
	for i := range t.F32() {
		t.F32()[i] *= 0.1
	}
	return t
}

// randomImageGraph draws a network of the image rules.
func randomImageGraph(t testing.TB, seed uint64) (*Graph, map[string]tensor.Tensor) {
	r := rand.New(rand.NewPCG(seed, 4))
	b := NewBuilder("image")
	values := []ValueID{b.Input("x", tensor.F32, 2, 8, 6, 5)}
	for range 4 + r.IntN(16) {
		x, y := values[len(values)-1], values[r.IntN(len(values))]
		v := imageGrowth[r.IntN(len(imageGrowth))](b, r, x, y)
		if r.IntN(3) == 0 { // skip connection
			v = b.Op("Add", x, v)
		}
		values = append(values, v)
	}
	b.Output("last", groupNormOf(b, values[len(values)-1], []int{2, 8, 6, 5}, 2, true))
	return buildGraph(t, b), map[string]tensor.Tensor{"x": randn(seed, 2, 8, 6, 5)}
}

// TestRandomImageNetworks is TestRandomGraphs for convolutional networks with attention.
func TestRandomImageNetworks(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 15
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g, in := randomImageGraph(t, seed)
			runConditioned(t, g, in)
		})
	}
}
