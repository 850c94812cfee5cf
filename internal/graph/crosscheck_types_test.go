package graph_test

import (
	"math/rand/v2"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// randomTensor draws normal numbers.
func randomTensor(r *rand.Rand, shape ...int) tensor.Tensor {
	t := tensor.New(tensor.F32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(r.NormFloat64())
	}
	return t
}

// typed is a value with what the rules below need to know.
type typed struct {
	id    graph.ValueID
	dt    tensor.DType
	shape []int
}

func ints(v ...int64) tensor.Tensor { return tensor.FromI64(v, len(v)) }

// typedRules add one operation over a numeric value whose result has the same shape. Whole numbers stay small enough for
// every type, so that all executors give the same bits.
var typedRules = []func(b *graph.Builder, r *rand.Rand, x, y typed) typed{
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		op := []string{"Min", "Max", "Sub", "Add"}[r.IntN(4)]
		return typed{b.Op(op, halved(b, x), halved(b, typed{cast(b, y, x.dt), x.dt, y.shape})), x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		return typed{b.Op([]string{"Abs", "Neg", "Sign"}[r.IntN(3)], x.id), x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		to := []tensor.DType{tensor.F32, tensor.F64, tensor.I32, tensor.I64}[r.IntN(4)]
		return typed{cast(b, x, to), to, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		c := b.Op([]string{"Greater", "Less", "Equal"}[r.IntN(3)], x.id, cast(b, y, x.dt))
		if r.IntN(2) == 0 {
			c = b.Op("Not", c)
		}
		return typed{b.Op("Where", c, x.id, cast(b, y, x.dt)), x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		front := b.Op("Slice", x.id, b.Const(ints(1)), b.Const(ints(3)), b.Const(ints(2)))
		back := b.Op("Slice", x.id, b.Const(ints(-1)), b.Const(ints(-1<<40)), b.Const(ints(2)), b.Const(ints(-2)))
		joined := b.OpA("Concat", map[string]graph.Attr{"axis": graph.IntAttr(2)}, front, back, b.Op("Slice", x.id, b.Const(ints(5)), b.Const(ints(1<<40)), b.Const(ints(2))))
		return typed{joined, x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		at := b.Const(ints(int64(r.IntN(4)), -1, 0, 2))
		return typed{b.OpA("Gather", map[string]graph.Attr{"axis": graph.IntAttr(1)}, x.id, at), x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		sum := b.OpA("ReduceMax", map[string]graph.Attr{"axes": graph.IntsAttr(r.IntN(3)), "keepdims": graph.IntAttr(1)}, x.id)
		return typed{b.Op("Expand", sum, b.Op("Shape", x.id)), x.dt, x.shape}
	},
	func(b *graph.Builder, r *rand.Rand, x, y typed) typed {
		t := b.OpA("Transpose", map[string]graph.Attr{"perm": graph.IntsAttr(1, 2, 0)}, x.id)
		return typed{b.Op("Reshape", t, b.Const(ints(2, -1, 6))), x.dt, x.shape}
	},
}

// halved keeps sums in range.
func halved(b *graph.Builder, x typed) graph.ValueID {
	two := cast(b, typed{id: b.Const(ints(2))}, x.dt)
	return b.Op("Div", x.id, two)
}

// cast converts a value; conversions of floating types to integers meet whole numbers only.
func cast(b *graph.Builder, x typed, to tensor.DType) graph.ValueID {
	if x.dt == to {
		return x.id
	}
	id := x.id
	if x.dt.IsFloat() && !to.IsFloat() {
		id = b.Op("Round", id)
	}
	return b.OpA("Cast", map[string]graph.Attr{"to": graph.IntAttr(int(to.ONNX()))}, id)
}

// randomTypedGraph draws a graph over several element types with inputs of shape [2,4,6].
func randomTypedGraph(t testing.TB, seed uint64) (*graph.Graph, map[string]tensor.Tensor) {
	r := rand.New(rand.NewPCG(seed, 5))
	shape := []int{2, 4, 6}
	b := graph.NewBuilder("types")
	in := map[string]tensor.Tensor{"x": randomTensor(r, shape...), "n": tensor.New(tensor.I64, shape...), "d": tensor.New(tensor.F64, shape...)}
	for i := range in["n"].I64() {
		in["n"].I64()[i] = int64(r.IntN(41) - 20)
		in["d"].F64()[i] = float64(r.IntN(41)-20) / 2
	}
	values := []typed{
		{b.Input("x", tensor.F32, shape...), tensor.F32, shape},
		{b.Input("n", tensor.I64, shape...), tensor.I64, shape},
		{b.Input("d", tensor.F64, shape...), tensor.F64, shape},
	}
	for range 4 + r.IntN(16) {
		x, y := values[len(values)-1], values[r.IntN(len(values))]
		if r.IntN(3) == 0 {
			x = values[r.IntN(len(values))]
		}
		values = append(values, typedRules[r.IntN(len(typedRules))](b, r, x, y))
	}
	b.Output("last", b.Op("Identity", values[len(values)-1].id))
	b.Output("middle", b.Op("Identity", values[len(values)/2].id))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return g, in
}
