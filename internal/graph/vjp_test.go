package graph

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/diff/fd"

	"winnow/internal/tensor"
)

// gradCase is a small graph to differentiate. build makes it for float64, the reference, and for float32, where fused
// operators and vector kernels come in. Inputs hold float64 or integer tensors.
type gradCase struct {
	name  string
	opset int // 0: DefaultOpset
	build func(b *Builder, dt tensor.DType)
	in    map[string]tensor.Tensor
	wrt   []string // nil: every floating-point input
	f32   float64  // tolerance of the float32 run, 0: 2e-5
}

// checkVJP compares the gradient of a case, in float64 and without rewrites, with central finite differences; then the
// exported forms of the same gradient (one graph, two graphs) and the fused float32 run with it.
func checkVJP(t *testing.T, c gradCase) {
	t.Helper()
	wrt := c.wrt
	for name, x := range c.in {
		if c.wrt == nil && x.DType.IsFloat() {
			wrt = append(wrt, name)
		}
	}
	slices.Sort(wrt)
	g64 := c.graph(t, tensor.F64)
	cot := map[string]tensor.Tensor{}
	_, want := runGradient(t, g64, c.in, cot, wrt, Options{NoFusion: true, NoReuse: true})
	checkDifferences(t, g64, c.in, cot, want)
	checkExports(t, g64, c.in, cot, want)
	tol := c.f32
	if tol == 0 {
		tol = 2e-5
	}
	in32, cot32 := toF32(c.in), toF32(cot)
	g32 := c.graph(t, tensor.F32)
	for _, o := range []Options{{NoFusion: true}, {Paranoid: true}} {
		_, got := runGradient(t, g32, in32, cot32, wrt, o)
		for name := range want {
			compareTensors(t, "float32 gradient of "+name, got[name], toF32(want)[name], tol)
		}
	}
}

func (c *gradCase) graph(t *testing.T, dt tensor.DType) *Graph {
	t.Helper()
	b := NewBuilder(c.name)
	if c.opset > 0 {
		b.Opset("", c.opset)
	}
	c.build(b, dt)
	return buildGraph(t, b)
}

// runGradient runs both passes and returns outputs and gradients. Cotangents that are missing in cot are drawn and entered there.
func runGradient(t *testing.T, g *Graph, in, cot map[string]tensor.Tensor, wrt []string, o Options) (out, grads map[string]tensor.Tensor) {
	t.Helper()
	o.Threads, o.Log = 2, io.Discard
	out, grads, _ = runGradientSpec(t, g, in, cot, GradientSpec{Wrt: wrt}, o)
	_, again, _ := runGradientSpec(t, g, in, cot, GradientSpec{Wrt: wrt, Checkpoint: true}, o)
	for name := range grads { // recomputed values are the same values
		if !slices.Equal(grads[name].Data, again[name].Data) {
			t.Errorf("gradient of %s: checkpointing changes the result", name)
		}
	}
	return out, grads
}

// runGradientSpec is runGradient for one form of the gradient, with its statistics.
func runGradientSpec(t *testing.T, g *Graph, in, cot map[string]tensor.Tensor, spec GradientSpec, o Options) (out, grads map[string]tensor.Tensor, s Stats) {
	t.Helper()
	p, err := CompileGradient(g, typesOf(in), spec, &o)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	defer p.Close()
	out, err = p.Forward(context.Background(), in)
	if err != nil {
		t.Fatalf("forward: %v", err)
	}
	for _, id := range g.Outputs {
		name := g.Value(id).Name
		if _, ok := cot[name]; !ok && out[name].DType.IsFloat() {
			cot[name] = randomLike(out[name], 7)
		}
	}
	grads, err = p.Backward(context.Background(), cot)
	if err != nil {
		t.Fatalf("backward: %v", err)
	}
	return out, grads, p.Program().Stats()
}

// checkDifferences compares gradients with central differences of Σ cotangent·output.
func checkDifferences(t *testing.T, g *Graph, in, cot, grads map[string]tensor.Tensor) {
	t.Helper()
	p, err := Compile(g, typesOf(in), &Options{NoFusion: true, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, grad := range grads {
		x := slices.Clone(in[name].F64())
		at := map[string]tensor.Tensor{}
		for n, v := range in {
			at[n] = v
		}
		loss := func(x []float64) float64 {
			at[name] = tensor.New(tensor.F64, in[name].Shape...)
			copy(at[name].F64(), x)
			out, err := p.Run(context.Background(), at)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for o, c := range cot {
				for i, v := range out[o].F64() {
					sum += v * c.F64()[i]
				}
			}
			return sum
		}
		want := tensor.New(tensor.F64, in[name].Shape...)
		fd.Gradient(want.F64(), loss, x, &fd.Settings{Formula: fd.Central, Step: 1e-5})
		closeF64(t, "gradient of "+name+" against finite differences", grad, want, 2e-7)
	}
}

// closeF64 requires equal shapes and a difference of at most tol relative to the largest magnitude, 1 at least.
func closeF64(t *testing.T, name string, got, want tensor.Tensor, tol float64) {
	t.Helper()
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		t.Fatalf("%s: got %v, want %v", name, got, want)
	}
	scale := 1.0
	for _, v := range want.F64() {
		scale = max(scale, math.Abs(v))
	}
	for i, v := range want.F64() {
		if d := math.Abs(got.F64()[i] - v); !(d <= tol*scale) {
			t.Fatalf("%s: element %d is %g, want %g (largest %g)", name, i, got.F64()[i], v, scale)
		}
	}
}

// checkExports runs the gradient as one exported graph and as two.
func checkExports(t *testing.T, g *Graph, in, cot, want map[string]tensor.Tensor) {
	t.Helper()
	spec := GradientSpec{}
	for name := range want {
		spec.Wrt = append(spec.Wrt, name)
	}
	slices.Sort(spec.Wrt)
	all := map[string]tensor.Tensor{}
	for name, x := range in {
		all[name] = x
	}
	for name, x := range cot {
		all[cotangentPrefix+name] = x
	}
	whole, err := VJP(g, typesOf(in), spec)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, n := range whole.Nodes {
		if n.Name != "" && names[n.Name] {
			t.Errorf("two nodes of the exported graph are called %s, which ONNX Runtime refuses", n.Name)
		}
		names[n.Name] = true
	}
	got, _ := runWith(t, whole, all, Options{NoFusion: true})
	fwd, rev, err := SplitVJP(g, typesOf(in), spec)
	if err != nil {
		t.Fatal(err)
	}
	mid, _ := runWith(t, fwd, in, Options{NoFusion: true})
	back := map[string]tensor.Tensor{}
	for _, id := range rev.Inputs {
		name := rev.Value(id).Name
		for _, from := range []map[string]tensor.Tensor{all, mid} {
			if x, ok := from[name]; ok {
				back[name] = x
			}
		}
	}
	split, _ := runWith(t, rev, back, Options{NoFusion: true})
	for name := range want {
		closeF64(t, "exported gradient of "+name, got[gradientPrefix+name], want[name], 1e-12)
		closeF64(t, "split gradient of "+name, split[name], want[name], 1e-12)
	}
}

// randomLike draws standard normal numbers in the type and shape of t.
func randomLike(x tensor.Tensor, seed uint64) tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 11))
	out := tensor.New(x.DType, x.Shape...)
	for i := range x.Elems() {
		v := r.NormFloat64()
		if x.DType == tensor.F64 {
			out.F64()[i] = v
		} else {
			out.F32()[i] = float32(v)
		}
	}
	return out
}

// normal64 draws standard normal numbers.
func normal64(seed uint64, shape ...int) tensor.Tensor {
	return randomLike(tensor.New(tensor.F64, shape...), seed)
}

// toF32 converts the float64 tensors of a set.
func toF32(in map[string]tensor.Tensor) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for name, x := range in {
		if x.DType == tensor.F64 {
			y := tensor.New(tensor.F32, x.Shape...)
			for i, v := range x.F64() {
				y.F32()[i] = float32(v)
			}
			x = y
		}
		out[name] = x
	}
	return out
}

func TestVJPArithmetic(t *testing.T) {
	checkVJP(t, gradCase{
		name: "polynomial",
		build: func(b *Builder, dt tensor.DType) {
			x, y := b.Input("x", dt, 2, 3), b.Input("y", dt, 3)
			s := b.Op("Add", b.Op("Mul", x, y), x)
			b.Output("a", b.Op("Mul", s, s))
			b.Output("b", s)
		},
		in: map[string]tensor.Tensor{"x": normal64(1, 2, 3), "y": normal64(2, 3)},
	})
}
