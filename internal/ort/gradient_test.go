package ort

import (
	"errors"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// layer is y = LayerNorm(tanh(x·w + b))·a summed over its last axis, z = x·x, with element-wise products and the inputs x,
// w, b and a.
func layer(t testing.TB) (*graph.Graph, map[string]tensor.Tensor) {
	b := graph.NewBuilder("layer")
	x, w := b.Input("x", tensor.F32, 5, 3), b.Input("w", tensor.F32, 5, 3)
	bias, a := b.Input("b", tensor.F32, 3), b.Input("a", tensor.F32, 5, 3)
	h := b.Op("Tanh", b.Op("Add", b.Op("Mul", x, w), bias))
	h = b.Op("LayerNormalization", h, b.Const(randn(5, 3)), b.Const(randn(6, 3)))
	axes := b.Const(tensor.FromI64([]int64{1}, 1))
	b.Output("y", b.OpA("ReduceSum", map[string]graph.Attr{"keepdims": graph.IntAttr(0)}, b.Op("Mul", h, a), axes))
	b.Output("z", b.Op("Mul", x, x))
	in := map[string]tensor.Tensor{"x": randn(1, 5, 3), "w": randn(2, 5, 3), "b": randn(3, 3), "a": randn(4, 5, 3)}
	return built(t, b), in
}

// Gradients agree with the embedded executor's, for all and for some cotangents.
func TestGradient(t *testing.T) {
	g, in := layer(t)
	spec := graph.GradientSpec{Wrt: []string{"x", "w", "b", "a"}}
	ours, err := executor(t).CompileGradient(g, typesOf(in), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := (&graph.Embedded{}).CompileGradient(g, typesOf(in), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	for name, cot := range map[string]map[string]tensor.Tensor{
		"both": {"y": randn(7, 5), "z": randn(8, 5, 3)}, "one": {"y": randn(7, 5)}, "none": nil,
	} {
		out, err := ours.Forward(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		grad, err := ours.Backward(t.Context(), cot)
		if err != nil {
			t.Fatal(err)
		}
		wantOut, err := theirs.Forward(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirs.Backward(t.Context(), cot)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != 2 || len(grad) != 4 {
			t.Errorf("%s: %d outputs, %d gradients", name, len(out), len(grad))
		}
		for key := range wantOut {
			near(t, name+" "+key, out[key], wantOut[key], 1e-6)
		}
		for key := range want {
			near(t, name+" ∂"+key, grad[key], want[key], 1e-5)
		}
	}
}

func TestGradientErrors(t *testing.T) {
	g, in := layer(t)
	e := executor(t)
	var bad *graph.ShapeError
	if _, err := e.CompileGradient(g, typesOf(in), graph.GradientSpec{Wrt: []string{"nothing"}}); !errors.As(err, &bad) {
		t.Errorf("unknown input: %v", err)
	}
	d, err := e.CompileGradient(g, typesOf(in), graph.GradientSpec{Wrt: []string{"w"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Backward(t.Context(), nil); !errors.Is(err, graph.ErrNoForward) {
		t.Errorf("Backward before Forward: %v", err)
	}
	if _, err := d.Forward(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for name, cot := range map[string]map[string]tensor.Tensor{
		"shape": {"y": randn(1, 2, 5)}, "type": {"y": tensor.New(tensor.I64, 5)}, "name": {"q": randn(1, 5)},
	} {
		if _, err := d.Backward(t.Context(), cot); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Backward(t.Context(), nil); err != nil {
		t.Errorf("after refused cotangents: %v", err)
	}
	if _, err := d.Backward(t.Context(), nil); !errors.Is(err, graph.ErrNoForward) {
		t.Errorf("second Backward: %v", err)
	}
	d.Close()
	if _, err := d.Forward(t.Context(), in); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}
