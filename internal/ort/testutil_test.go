package ort

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// executor is ONNX Runtime on the CPU. Without a library the test is skipped: it is the one thing here that cannot be
// committed. .ci/run installs it.
func executor(t testing.TB) *Executor {
	t.Helper()
	e, err := New(t.Context(), Options{Threads: 1})
	var missing *LibraryError
	if errors.As(err, &missing) && missing.Err == nil {
		t.Skipf("ONNX Runtime is not installed: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func built(t testing.TB, b *graph.Builder) *graph.Graph {
	t.Helper()
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func typesOf(in map[string]tensor.Tensor) map[string]graph.Type {
	out := map[string]graph.Type{}
	for name, x := range in {
		out[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	return out
}

func randn(seed uint64, shape ...int) tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	t := tensor.New(tensor.F32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(r.NormFloat64())
	}
	return t
}

// near requires equal types and, for float32, elements within tol of the largest magnitude; other types must be equal.
func near(t testing.TB, name string, got, want tensor.Tensor, tol float64) {
	t.Helper()
	if got.DType != want.DType || got.DType != tensor.F32 {
		if !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v %v", name, got, got.Data, want, want.Data)
		}
		return
	}
	if !got.Equal(tensor.Tensor{DType: want.DType, Shape: want.Shape, Data: got.Data}) {
		t.Errorf("%s: %v, want %v", name, got, want)
		return
	}
	scale := 1e-6
	for _, v := range want.F32() {
		scale = max(scale, math.Abs(float64(v)))
	}
	for i, v := range want.F32() {
		if d := math.Abs(float64(v) - float64(got.F32()[i])); !(d <= tol*scale) {
			t.Errorf("%s[%d]: %g, want %g (scale %g)", name, i, got.F32()[i], v, scale)
			return
		}
	}
}
