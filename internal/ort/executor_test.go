package ort

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

func run(t *testing.T, g *graph.Graph, in map[string]tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	p, err := executor(t).Compile(g, typesOf(in))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRun(t *testing.T) {
	b := graph.NewBuilder("affine")
	x := b.InputDims("x", tensor.F32, graph.Dim{Size: -1, Sym: "n"}, graph.Dim{Size: 2})
	b.Output("y", b.Op("Add", b.Op("MatMul", x, b.Const(tensor.FromF32([]float32{1, 2, 3, 4}, 2, 2))), b.Const(tensor.FromF32([]float32{10, 20}, 2))))
	out := run(t, built(t, b), map[string]tensor.Tensor{"x": tensor.FromF32([]float32{1, 1, 0, 2, 3, 0}, 3, 2)})
	near(t, "y", out["y"], tensor.FromF32([]float32{14, 26, 16, 28, 13, 26}, 3, 2), 0)
}

// Every element type goes in and comes out as it is; a half type may be given as float32 and is rounded.
func TestRunElementTypes(t *testing.T) {
	for _, x := range []tensor.Tensor{
		tensor.FromF32([]float32{-1.5, 2}, 2), tensor.FromF64([]float64{1e-300, -2}, 2),
		tensor.FromF16([]uint16{0x3c00, 0xc000}, 2), tensor.FromBF16([]uint16{0x3f80, 0xc000}, 2),
		tensor.FromI8([]int8{-128, 127}, 2), tensor.FromI16([]int16{-32768, 1}, 2), tensor.FromI32([]int32{-1, 1 << 30}, 2),
		tensor.FromI64([]int64{-1 << 62, 5}, 2), tensor.FromU8([]uint8{0, 255}, 2), tensor.FromU16([]uint16{0, 65535}, 2),
		tensor.FromU32([]uint32{0, 1 << 31}, 2), tensor.FromU64([]uint64{1, 1 << 63}, 2), tensor.FromBool([]bool{true, false}, 2),
		tensor.FromF32([]float32{7}), tensor.New(tensor.F32, 2, 0, 3),
	} {
		t.Run(x.String(), func(t *testing.T) {
			b := graph.NewBuilder("types")
			b.Output("y", b.Op("Identity", b.Input("x", x.DType, x.Shape...)))
			g := built(t, b)
			if out := run(t, g, map[string]tensor.Tensor{"x": x}); !out["y"].Equal(x) {
				t.Errorf("%v %v, want %v", out["y"], out["y"].Data, x.Data)
			}
			if x.DType != tensor.F16 && x.DType != tensor.BF16 {
				return
			}
			wide := tensor.FromF32(x.Float32s(), x.Shape...)
			if out := run(t, g, map[string]tensor.Tensor{"x": wide}); !out["y"].Equal(x) {
				t.Errorf("given as float32: %v, want %v", out["y"].Data, x.Data)
			}
		})
	}
}

// Weights in external files, in the model file and beside the model all arrive, under branches too.
func TestRunModels(t *testing.T) {
	for _, name := range []string{"torchscript17_ext/model", "torchscript17_files/model", "dynamo20_data/model", "torchscript14", "dynamo18", "branches"} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Open(filepath.Join("../onnx/testdata", name+".onnx"))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			in := map[string]tensor.Tensor{}
			for i, id := range m.Graph.Inputs {
				in[m.Graph.Values[id].Name] = sample(m.Graph.Values[id], uint64(i))
			}
			want := embedded(t, m.Graph, in)
			for key, v := range run(t, m.Graph, in) {
				near(t, key, v, want[key], 1e-5)
			}
		})
	}
}

// sample makes a tensor for an input; free dimensions are 2.
func sample(v graph.Value, seed uint64) tensor.Tensor {
	shape := make([]int, len(v.Dims))
	for i, d := range v.Dims {
		if shape[i] = d.Size; d.Size < 0 {
			shape[i] = 2
		}
	}
	if v.DType == tensor.F32 {
		return randn(seed, shape...)
	}
	return tensor.New(v.DType, shape...)
}

func embedded(t *testing.T, g *graph.Graph, in map[string]tensor.Tensor) map[string]tensor.Tensor {
	t.Helper()
	p, err := graph.Compile(g, typesOf(in), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompileErrors(t *testing.T) {
	unknown := graph.NewBuilder("unknown").Opset("example.org", 1)
	unknown.Output("y", unknown.Op("example.org.Frobnicate", unknown.Input("x", tensor.F32, 2)))
	missing := graph.NewBuilder("kernel").Opset("com.microsoft", 1)
	missing.Output("y", missing.OpA("com.microsoft.BiasSoftmax", map[string]graph.Attr{"is_inner_broadcast": graph.IntAttr(1)},
		missing.Input("x", tensor.F32, 2, 3), missing.Const(randn(1, 2, 3))))
	text := graph.NewBuilder("text").Opset("", 19)
	text.Output("y", text.OpA("Cast", map[string]graph.Attr{"to": graph.IntAttr(8)}, text.Input("x", tensor.F32, 2)))
	taken := graph.NewBuilder("taken apart").Opset("", 22) // Bernoulli is defined by RandomUniformLike, which has no kernel of version 22
	taken.Output("y", taken.Op("Bernoulli", taken.Input("x", tensor.F32, 2)))
	misfit := graph.NewBuilder("misfit")
	misfit.Output("y", misfit.Op("MatMul", misfit.Input("x", tensor.F32, 2, 3), misfit.Const(randn(1, 4, 5))))
	reshape := graph.NewBuilder("reshape")
	reshape.Output("y", reshape.Op("Reshape", reshape.Input("x", tensor.F32, 2, 3), reshape.Const(tensor.FromI64([]int64{4, 2}, 2))))
	for _, c := range []struct {
		name, names string
		g           *graph.Graph
		in          graph.Type
		unsupported bool
	}{
		{"operator that nobody knows", "Frobnicate", built(t, unknown), graph.Type{DType: tensor.F32, Shape: []int{2}}, true},
		{"operator without a kernel", "BiasSoftmax", built(t, missing), graph.Type{DType: tensor.F32, Shape: []int{2, 3}}, true},
		{"output of a type that is not held", "Cast", built(t, text), graph.Type{DType: tensor.F32, Shape: []int{2}}, true},
		{"operator that is taken apart", "RandomUniformLike", built(t, taken), graph.Type{DType: tensor.F32, Shape: []int{2}}, true},
		{"inner dimensions", "MatMul", built(t, misfit), graph.Type{DType: tensor.F32, Shape: []int{2, 3}}, false},
		{"elements", "Reshape", built(t, reshape), graph.Type{DType: tensor.F32, Shape: []int{2, 3}}, false},
		{"input against its declaration", `"x"`, built(t, misfit), graph.Type{DType: tensor.F32, Shape: []int{2, 7}}, false},
		{"type of an input", `"x"`, built(t, misfit), graph.Type{DType: tensor.I64, Shape: []int{2, 3}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := executor(t).Compile(c.g, map[string]graph.Type{"x": c.in})
			var unsupported *graph.UnsupportedError
			var shape *graph.ShapeError
			if errors.As(err, &unsupported) != c.unsupported || errors.As(err, &shape) == c.unsupported || !strings.Contains(err.Error(), c.names) {
				t.Errorf("%T: %v", err, err)
			}
		})
	}
}

// What ONNX Runtime itself finds out about types and shapes becomes the same kind of error.
func TestCompileFailureOfSession(t *testing.T) {
	misfit := graph.NewBuilder("misfit")
	misfit.Output("y", misfit.Op("MatMul", misfit.Input("x", tensor.F32, 2, 3), misfit.Const(randn(1, 4, 5))))
	types := graph.NewBuilder("types")
	types.Output("y", types.Op("Add", types.Input("x", tensor.F32, 2), types.Const(tensor.FromI64([]int64{1, 2}, 2))))
	for _, g := range []*graph.Graph{built(t, misfit), built(t, types)} {
		e := executor(t)
		shape := []int{2, 3}[:len(g.Values[0].Dims)]
		_, err := e.newSession(g, map[string]graph.Type{"x": {DType: tensor.F32, Shape: shape}})
		var bad *graph.ShapeError
		if !errors.As(err, &bad) || bad.Op != g.Nodes[0].Op || !strings.Contains(bad.Node, g.Nodes[0].Name) {
			t.Errorf("%s: %T: %v", g.Name, err, err)
		}
	}
}

func TestRunErrors(t *testing.T) {
	b := graph.NewBuilder("gather")
	b.Output("y", b.Op("Gather", b.Const(randn(1, 4)), b.Input("x", tensor.I64, 2)))
	g := built(t, b)
	p, err := executor(t).Compile(g, map[string]graph.Type{"x": {DType: tensor.I64, Shape: []int{2}}})
	if err != nil {
		t.Fatal(err)
	}
	good := map[string]tensor.Tensor{"x": tensor.FromI64([]int64{0, 3}, 2)}
	_, err = p.Run(t.Context(), map[string]tensor.Tensor{"x": tensor.FromI64([]int64{0, 9}, 2)})
	var at *graph.RunError
	if !errors.As(err, &at) || !strings.Contains(at.Node, "Gather") {
		t.Errorf("index out of range: %T: %v", err, err)
	}
	for name, in := range map[string]map[string]tensor.Tensor{
		"missing": {}, "type": {"x": tensor.New(tensor.F32, 2)}, "shape": {"x": tensor.New(tensor.I64, 3)},
		"unknown": {"x": good["x"], "z": good["x"]}, "bytes": {"x": {DType: tensor.I64, Shape: []int{2}, Data: make([]byte, 3)}},
	} {
		var bad *graph.ShapeError
		if _, err := p.Run(t.Context(), in); !errors.As(err, &bad) {
			t.Errorf("%s: %T: %v", name, err, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Run(ended, good); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := p.Run(t.Context(), good); err != nil {
		t.Errorf("a good run after bad ones: %v", err)
	}
	p.Close()
	p.Close()
	if _, err := p.Run(t.Context(), good); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Weights for which a model has no room are handed over beside it.
func TestSideWeights(t *testing.T) {
	e := executor(t)
	w := randn(1, 40, 40)
	b := graph.NewBuilder("side")
	b.Output("y", b.Op("MatMul", b.Input("x", tensor.F32, 2, 40), b.Const(w)))
	g := built(t, b)
	in := map[string]tensor.Tensor{"x": randn(2, 2, 40)}
	e.maxInline = 100
	p, err := e.Compile(g, typesOf(in))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "y", out["y"], embedded(t, g, in)["y"], 1e-5)
}

// A context that ends during a run stops it.
func TestRunCancelled(t *testing.T) {
	b := graph.NewBuilder("long")
	x := b.Input("x", tensor.F32, 512, 512)
	y := x
	for range 400 {
		y = b.Op("Tanh", b.Op("MatMul", y, x))
	}
	b.Output("y", y)
	in := map[string]tensor.Tensor{"x": randn(1, 512, 512)}
	p, err := executor(t).Compile(built(t, b), typesOf(in))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30e6)
	defer cancel()
	if _, err := p.Run(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// Outputs may be inputs or constants, and one value may be two outputs.
func TestRunBorder(t *testing.T) {
	b := graph.NewBuilder("border")
	x := b.Input("x", tensor.F32, 2)
	c := b.Const(tensor.FromF32([]float32{5, 6}, 2))
	y := b.Op("Neg", x)
	b.Output("x", x)
	b.Output("c", c)
	b.Output("y", y)
	b.Output("y", y)
	in := map[string]tensor.Tensor{"x": tensor.FromF32([]float32{1, 2}, 2)}
	g := built(t, b)
	want := embedded(t, g, in)
	got := run(t, g, in)
	if len(got) != len(want) || len(want) != 3 {
		t.Errorf("%d outputs, want %d", len(got), len(want))
	}
	for name := range want {
		near(t, name, got[name], want[name], 0)
	}
}
