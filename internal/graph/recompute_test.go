package graph

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// deepGraph is a chain of layers x + W₂·silu(W₁·x) with weights as inputs of the graph, and a skip from the first layer to
// the last.
func deepGraph(t *testing.T, layers, rows, dim int) (*Graph, map[string]tensor.Tensor) {
	t.Helper()
	b := NewBuilder("deep")
	x := b.Input("x", tensor.F32, rows, dim)
	lora := b.Input("a", tensor.F32, dim, dim)
	in := map[string]tensor.Tensor{"x": randn(1, rows, dim), "a": randn(2, dim, dim)}
	skip := x
	for i := range layers {
		w1, w2 := b.Const(randn(uint64(10+i), dim, 2*dim)), b.Const(randn(uint64(90+i), 2*dim, dim))
		h := b.Op("Gemm", b.Op("Gemm", x, lora), w1)
		h = b.Op("Mul", h, b.Op("Sigmoid", h))
		x = b.Op("Tanh", b.Op("Add", x, b.Op("Gemm", h, w2)))
		if i == 0 {
			skip = x
		}
	}
	b.Output("y", b.Op("Add", x, skip))
	return buildGraph(t, b), in
}

func TestCheckpointingSavesMemory(t *testing.T) {
	g, in := deepGraph(t, 24, 512, 32)
	cot := map[string]tensor.Tensor{}
	spec := GradientSpec{Wrt: []string{"a", "x"}}
	o := Options{Threads: 2, Log: io.Discard, Paranoid: true}
	_, want, plain := runGradientSpec(t, g, in, cot, spec, o)
	spec.Checkpoint = true
	_, got, lean := runGradientSpec(t, g, in, cot, spec, o)
	for name := range want {
		if !slices.Equal(got[name].Data, want[name].Data) {
			t.Errorf("gradient of %s: checkpointing changes the result", name)
		}
	}
	if lean.SavedBytes*3 > plain.SavedBytes || lean.ArenaBytes*2 > plain.ArenaBytes {
		t.Errorf("saved %d of %d bytes, arena %d of %d: checkpointing should save more", lean.SavedBytes, plain.SavedBytes,
			lean.ArenaBytes, plain.ArenaBytes)
	}
}

func TestBackwardNeedsForward(t *testing.T) {
	g, in := deepGraph(t, 1, 2, 4)
	p, err := CompileGradient(g, typesOf(in), GradientSpec{Wrt: []string{"x"}}, &Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx := context.Background()
	if _, err := p.Backward(ctx, nil); !errors.Is(err, ErrNoForward) {
		t.Errorf("a reverse pass without forward pass: %v", err)
	}
	if _, err := p.Forward(ctx, in); err != nil {
		t.Fatal(err)
	}
	var shape *ShapeError
	if _, err := p.Backward(ctx, map[string]tensor.Tensor{"z": randn(1, 2)}); !errors.As(err, &shape) {
		t.Errorf("a cotangent of an unknown output: %v", err)
	}
	if _, err := p.Backward(ctx, map[string]tensor.Tensor{"y": randn(1, 3, 4)}); !errors.As(err, &shape) {
		t.Errorf("a cotangent of the wrong shape: %v", err)
	}
	grads, err := p.Backward(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(grads["x"].F32(), func(v float32) bool { return v != 0 }) {
		t.Errorf("without cotangents the gradient is %v, want zeros", grads["x"].F32())
	}
	if _, err := p.Backward(ctx, nil); !errors.Is(err, ErrNoForward) {
		t.Errorf("a second reverse pass: %v", err)
	}
}

// TestGradientRefusals checks that what cannot be differentiated is refused when it is compiled.
func TestGradientRefusals(t *testing.T) {
	b := NewBuilder("refused")
	x := b.Input("x", tensor.F32, 2, 4)
	n := b.Input("n", tensor.I64, 2)
	b.Output("y", b.Op("Add", x, x))
	b.Output("k", n)
	g := buildGraph(t, b)
	in := map[string]Type{"x": {tensor.F32, []int{2, 4}}, "n": {tensor.I64, []int{2}}}
	for _, spec := range []GradientSpec{
		{},
		{Wrt: []string{"z"}},
		{Wrt: []string{"n"}},
		{Wrt: []string{"x"}, Outputs: []string{"z"}},
		{Wrt: []string{"x"}, Outputs: []string{"k"}},
	} {
		var shape *ShapeError
		if _, err := CompileGradient(g, in, spec, nil); !errors.As(err, &shape) {
			t.Errorf("%+v: %v, want a ShapeError", spec, err)
		}
	}
}
