package graph

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// buildGraph ends a builder or fails the test.
func buildGraph(t testing.TB, b *Builder) *Graph {
	t.Helper()
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// typesOf derives the static types from sample inputs.
func typesOf(in map[string]tensor.Tensor) map[string]Type {
	out := map[string]Type{}
	for name, x := range in {
		out[name] = Type{x.DType, x.Shape}
	}
	return out
}

// runWith compiles and runs a graph twice with the same options; both runs must agree bit for bit (the second finds the
// arena used).
func runWith(t testing.TB, g *Graph, in map[string]tensor.Tensor, o Options) (map[string]tensor.Tensor, Stats) {
	t.Helper()
	if o.Threads == 0 {
		o.Threads = 2
	}
	o.Log = io.Discard
	p, err := Compile(g, typesOf(in), &o)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	defer p.Close()
	first, err := p.Run(context.Background(), in)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	second, err := p.Run(context.Background(), in)
	if err != nil {
		t.Fatalf("second run: %v", err)
	}
	for name := range first {
		if !slices.Equal(first[name].Data, second[name].Data) {
			t.Errorf("output %q: two runs of one program differ", name)
		}
	}
	return first, p.Stats()
}

// runBoth compares the plain execution (no rewrites, no memory shared) with the optimised one under guards and returns
// the optimised result with its statistics.
func runBoth(t testing.TB, g *Graph, in map[string]tensor.Tensor, tol float64) (map[string]tensor.Tensor, Stats) {
	t.Helper()
	plain, _ := runWith(t, g, in, Options{NoFusion: true, NoReuse: true})
	fused, stats := runWith(t, g, in, Options{Paranoid: true})
	for name := range plain {
		compareTensors(t, name, fused[name], plain[name], tol)
	}
	return fused, stats
}

// compareTensors requires equal types and elements that differ by at most tol relative to the largest magnitude.
func compareTensors(t testing.TB, name string, got, want tensor.Tensor, tol float64) {
	t.Helper()
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("%s: got %v, want %v", name, got, want)
	}
	if !want.DType.IsFloat() || want.DType == tensor.F64 {
		if !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: contents differ", name)
		}
		return
	}
	g, w := got.Float32s(), want.Float32s()
	scale := 1e-6
	for _, v := range w {
		if a := math.Abs(float64(v)); a > scale && !math.IsInf(a, 0) {
			scale = a
		}
	}
	for i := range w {
		if g[i] == w[i] || g[i] != g[i] && w[i] != w[i] {
			continue
		}
		if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= tol*scale) {
			t.Fatalf("%s[%d]: got %g, want %g (scale %g)", name, i, g[i], w[i], scale)
		}
	}
}

// noise returns n normal numbers from a fixed seed.
func noise(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// randn returns a float32 tensor of normal numbers.
func randn(seed uint64, shape ...int) tensor.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return tensor.FromF32(noise(seed, n), shape...)
}

func f32(v float32) tensor.Tensor { return tensor.FromF32([]float32{v}) }

func i64s(v ...int64) tensor.Tensor { return tensor.FromI64(v, len(v)) }

// fusedOnce fails unless the named rewrite applied exactly n times.
func wantFused(t testing.TB, s Stats, name string, n int) {
	t.Helper()
	if s.Fused[name] != n {
		t.Errorf("rewrite %q applied %d times, want %d (all: %v)", name, s.Fused[name], n, s.Fused)
	}
}
