package graph_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/ort/orttest"
	"winnow/internal/tensor"
)

// Random graphs on three executors: the embedded one with the kernels chosen here, the embedded one with the plain Go
// kernels and without rewrites, and ONNX Runtime. Values, types and kinds of errors must agree.

// executors returns the three.
func executors(t *testing.T) (fast, plain, theirs graph.Executor) {
	t.Helper()
	fast = &graph.Embedded{Options: &graph.Options{Threads: 2, Log: io.Discard}}
	plain = &graph.Embedded{Options: &graph.Options{Threads: 1, NoFusion: true, NoReuse: true, Log: io.Discard}}
	return fast, plain, orttest.Executor(t)
}

func typesOf(in map[string]tensor.Tensor) map[string]graph.Type {
	out := map[string]graph.Type{}
	for name, x := range in {
		out[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	return out
}

func execute(t *testing.T, e graph.Executor, g *graph.Graph, in map[string]tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	r, err := e.Compile(g, typesOf(in))
	if err != nil {
		t.Fatalf("%s: compile: %v", e.Name(), err)
	}
	defer r.Close()
	out, err := r.Run(t.Context(), in)
	if err != nil {
		t.Fatalf("%s: run: %v", e.Name(), err)
	}
	return out
}

// withKernel runs f with the named kernels.
func withKernel(t *testing.T, name string, f func()) {
	t.Helper()
	before := kernel.Selected()
	if err := kernel.Select(name); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := kernel.Select(before); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// nudged is the inputs changed by one in a million, to learn how badly conditioned a graph is.
func nudged(in map[string]tensor.Tensor) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for name, x := range in {
		out[name] = x.Clone()
		if x.DType == tensor.F32 {
			for i := range out[name].F32() {
				out[name].F32()[i] *= 1 + 1e-6*float32(i%3-1)
			}
		}
	}
	return out
}

// agree requires got to equal want up to rounding: 1e-5 of the largest magnitude, and four times what nudged inputs change.
func agree(t *testing.T, what string, got, want, moved map[string]tensor.Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d outputs, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		same := tensor.Tensor{DType: w.DType, Shape: w.Shape, Data: g.Data}
		if !g.Equal(same) {
			t.Fatalf("%s: %s is %v, want %v", what, name, g, w)
		}
		if w.DType != tensor.F32 {
			if !g.Equal(w) {
				t.Fatalf("%s: %s %v: %v, want %v", what, name, g, g.Data, w.Data)
			}
			continue
		}
		worst, scale := 0.0, 0.1
		for i, v := range w.F32() {
			worst = max(worst, math.Abs(float64(v)-float64(moved[name].F32()[i])))
			scale = max(scale, math.Abs(float64(v)))
		}
		for i, v := range w.F32() {
			if d := math.Abs(float64(v) - float64(g.F32()[i])); !(d <= 1e-5*scale+4*worst) {
				t.Fatalf("%s: %s[%d] is %g, want %g (scale %g, conditioning %g)", what, name, i, g.F32()[i], v, scale, worst)
			}
		}
	}
}

// TestCrossCheckValues compares values and types.
func TestCrossCheckValues(t *testing.T) {
	fast, plain, theirs := executors(t)
	n := uint64(60)
	if testing.Short() {
		n = 15
	}
	for name, make := range map[string]func(testing.TB, uint64) (*graph.Graph, map[string]tensor.Tensor){
		"elements": graph.RandomGraph, "images": graph.RandomImageGraph, "types": randomTypedGraph,
	} {
		for seed := range n {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				g, in := make(t, seed)
				var want, moved map[string]tensor.Tensor
				withKernel(t, "ref", func() {
					want, moved = execute(t, plain, g, in), execute(t, plain, g, nudged(in))
				})
				agree(t, "embedded", execute(t, fast, g, in), want, moved)
				agree(t, "ONNX Runtime", execute(t, theirs, g, in), want, moved)
			})
		}
	}
}

// kind classifies an error of Compile.
func kind(err error) string {
	var shape *graph.ShapeError
	var unsupported *graph.UnsupportedError
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &shape):
		return "shape"
	case errors.As(err, &unsupported):
		return "unsupported"
	}
	return "other: " + err.Error()
}

// faults damage a graph, or the types of its inputs, at a random place.
var faults = map[string]func(r *rand.Rand, g *graph.Graph, in map[string]graph.Type){
	"none": func(*rand.Rand, *graph.Graph, map[string]graph.Type) {},
	"operator that nobody knows": func(r *rand.Rand, g *graph.Graph, _ map[string]graph.Type) {
		g.Nodes[r.IntN(len(g.Nodes))].Op = "Frobnicate"
	},
	"domain that nobody knows": func(r *rand.Rand, g *graph.Graph, _ map[string]graph.Type) {
		g.Nodes[r.IntN(len(g.Nodes))].Domain = "example.org"
	},
	"shape against the declaration": func(_ *rand.Rand, _ *graph.Graph, in map[string]graph.Type) {
		in["x"] = graph.Type{DType: tensor.F32, Shape: []int{2, 5, 6}}
	},
	"type against the declaration": func(_ *rand.Rand, _ *graph.Graph, in map[string]graph.Type) {
		in["x"] = graph.Type{DType: tensor.I64, Shape: in["x"].Shape}
	},
	"input left out": func(_ *rand.Rand, _ *graph.Graph, in map[string]graph.Type) { delete(in, "x") },
	"input of no use": func(_ *rand.Rand, _ *graph.Graph, in map[string]graph.Type) {
		in["nothing"] = graph.Type{DType: tensor.F32, Shape: []int{1}}
	},
	"constant of another shape": func(r *rand.Rand, g *graph.Graph, _ map[string]graph.Type) {
		t := randomTensor(r, 7, 5)
		readConst(r, g, &t)
	},
	"constant of another type": func(r *rand.Rand, g *graph.Graph, _ map[string]graph.Type) {
		t := tensor.New(tensor.U8, 6)
		readConst(r, g, &t)
	},
}

// readConst lets the arithmetic at a random place read a constant as its second operand.
func readConst(r *rand.Rand, g *graph.Graph, t *tensor.Tensor) {
	dims := make([]graph.Dim, len(t.Shape))
	for i, d := range t.Shape {
		dims[i].Size = d
	}
	g.Values = append(g.Values, graph.Value{Name: "damage", DType: t.DType, Dims: dims, Const: t})
	var places []*graph.Node
	for i := range g.Nodes {
		switch g.Nodes[i].Op {
		case "Add", "Sub", "Mul", "MatMul":
			places = append(places, &g.Nodes[i])
		}
	}
	if len(places) > 0 {
		places[r.IntN(len(places))].Inputs[1] = graph.ValueID(len(g.Values) - 1)
	}
}

// TestCrossCheckErrors compares the kinds of errors when a random graph is damaged.
func TestCrossCheckErrors(t *testing.T) {
	fast, _, theirs := executors(t)
	for name, damage := range faults {
		refused := 0
		for seed := range uint64(12) {
			g, in := graph.RandomGraph(t, seed)
			types := typesOf(in)
			damage(rand.New(rand.NewPCG(seed, 9)), g, types)
			a, errA := fast.Compile(g, types)
			b, errB := theirs.Compile(g, types)
			if kind(errA) != kind(errB) {
				t.Errorf("%s, seed %d: embedded: %v; ONNX Runtime: %v", name, seed, errA, errB)
			}
			if errA != nil {
				refused++
			} else {
				a.Close()
			}
			if errB == nil {
				b.Close()
			}
		}
		if (refused > 0) == (name == "none") {
			t.Errorf("%s: %d graphs were refused", name, refused)
		}
	}
}
