package lora

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// form is a small network around one Linear called net.proj, [in 3, out 2].
type form struct {
	name  string
	shape []int // of input x
	build func(b *graph.Builder, x, weight graph.ValueID) graph.ValueID
}

// weight is [3, 2]; flipped is [2, 3].
var (
	weight  = tensor.FromF32([]float32{1, -2, 0.5, 3, -1, 0.25}, 3, 2)
	flipped = tensor.FromF32([]float32{1, 0.5, -1, -2, 3, 0.25}, 2, 3)
)

// forms are the ways in which exporters write a Linear.
var forms = []form{
	{"MatMul", []int{2, 4, 3}, func(b *graph.Builder, x, w graph.ValueID) graph.ValueID { return b.Op("MatMul", x, w) }},
	{"MatMul of rank 4", []int{2, 2, 2, 3}, func(b *graph.Builder, x, w graph.ValueID) graph.ValueID { return b.Op("MatMul", x, w) }},
	{"Transpose and MatMul", []int{2, 4, 3}, func(b *graph.Builder, x, _ graph.ValueID) graph.ValueID {
		return b.Op("MatMul", x, b.Op("Transpose", b.Const(flipped)))
	}},
	{"Identity of shared weights", []int{2, 4, 3}, func(b *graph.Builder, x, w graph.ValueID) graph.ValueID {
		return b.Op("MatMul", x, b.Op("Identity", w))
	}},
	{"Gemm", []int{2, 3}, func(b *graph.Builder, x, _ graph.ValueID) graph.ValueID {
		bias := b.Const(tensor.FromF32([]float32{10, 20}, 2))
		return b.OpA("Gemm", map[string]graph.Attr{"transB": graph.IntAttr(1)}, x, b.Const(flipped), bias)
	}},
	{"Gemm behind a Reshape", []int{2, 4, 3}, func(b *graph.Builder, x, w graph.ValueID) graph.ValueID {
		rows := b.Op("Reshape", x, b.Const(tensor.FromI64([]int64{-1, 3}, 2)))
		return b.Op("Reshape", b.Op("Gemm", rows, w), b.Const(tensor.FromI64([]int64{2, 4, 2}, 3)))
	}},
}

// made builds a form and gives its product the names of the TorchScript exporter.
func (f *form) made(t *testing.T) *graph.Graph {
	t.Helper()
	b := graph.NewBuilder("form")
	x := b.Input("x", tensor.F32, slices.Repeat([]int{-1}, len(f.shape))...)
	b.Output("y", f.build(b, x, b.Const(weight)))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Op == "MatMul" || n.Op == "Gemm" {
			n.Name = "/net/proj/" + n.Op
		}
	}
	return g
}

// TestInject_forms compares with the sum over the factors, written out.
func TestInject_forms(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			g := f.made(t)
			in, err := Inject(g, Adapter{Name: "a", Rank: 2, Alpha: 6, Targets: []string{"proj"}})
			if err != nil {
				t.Fatal(err)
			}
			x := values(map[string]graph.Type{"x": {DType: tensor.F32, Shape: f.shape}}, 1)["x"]
			base := run(t, g, map[string]tensor.Tensor{"x": x})
			given := values(in.Types(2), 1)
			a, b := given[in.Layers[0].A.Name].F32(), given[in.Layers[0].B.Name].F32()
			scale := []float32{0.5, -2}
			given["x"], given[ScaleName("a")] = x, tensor.FromF32(scale, 2)
			got := run(t, in.Graph, given)
			rows := x.Elems() / 3
			want := base.Clone()
			for row := range rows {
				for o := range 2 {
					for r := range 2 {
						for i := range 3 {
							want.F32()[row*2+o] += 3 * scale[row*2/rows] * b[o*2+r] * a[r*3+i] * x.F32()[row*3+i]
						}
					}
				}
			}
			if d := difference(got, want); d > 1e-5 {
				t.Errorf("differs by %g: got %v, want %v", d, got.F32(), want.F32())
			}
		})
	}
}

// In a half-precision network the product of the factors is computed in float32 and rounded once.
func TestInject_half(t *testing.T) {
	half := func(x tensor.Tensor) tensor.Tensor {
		out := tensor.New(tensor.F16, x.Shape...)
		tensor.NarrowInto(out, 0, x.F32())
		return out
	}
	b := graph.NewBuilder("half")
	x := b.Input("x", tensor.F16, -1, 3)
	b.Output("y", b.Op("MatMul", x, b.Const(half(weight))))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g.Nodes[0].Name = "/head/proj/MatMul"
	in, err := Inject(g, Adapter{Name: "a", Rank: 1, Targets: []string{"proj"}})
	if err != nil {
		t.Fatal(err)
	}
	y := run(t, in.Graph, map[string]tensor.Tensor{
		"x":                 half(tensor.FromF32([]float32{1, 2, -1, 0.5, 0.25, 4}, 2, 3)),
		in.Layers[0].A.Name: tensor.FromF32([]float32{1, 1, 1}, 1, 3), in.Layers[0].B.Name: tensor.FromF32([]float32{0.5, 2}, 2, 1),
		ScaleName("a"): tensor.FromF32([]float32{1, -2}, 2),
	})
	want := []float32{3 + 1, 3.75 + 4, -3.375 - 4.75, 0.75 - 19} // x·W and s·B·(sum of x), all exact in float16
	if y.DType != tensor.F16 || !slices.Equal(y.Float32s(), want) {
		t.Errorf("got %v %v, want %v", y, y.Float32s(), want)
	}
}

// A scale of shape [1] holds for all samples, and a batch that does not divide the rows fails when it is compiled.
func TestInject_batchAxis(t *testing.T) {
	f := forms[0]
	in, err := Inject(f.made(t), Adapter{Name: "a", Rank: 1, Targets: []string{"net.proj"}})
	if err != nil {
		t.Fatal(err)
	}
	given := func(scales int) map[string]graph.Type {
		types := in.Types(scales)
		types["x"] = graph.Type{DType: tensor.F32, Shape: f.shape}
		return types
	}
	if p, err := graph.Compile(in.Graph, given(1), nil); err != nil {
		t.Errorf("one scale for all: %v", err)
	} else {
		p.Close()
	}
	for _, scales := range []int{3, 4} {
		_, err := graph.Compile(in.Graph, given(scales), nil)
		var shape *graph.ShapeError
		if !errors.As(err, &shape) || !strings.Contains(err.Error(), "net.proj") || !strings.Contains(err.Error(), "whole samples") {
			t.Errorf("%d scales for a batch of 2: %v", scales, err)
		}
	}
}

// Where the file declares that the batch is another axis, injection is refused.
func TestInject_declaredBatchAxis(t *testing.T) {
	b := graph.NewBuilder("time first")
	x := b.InputDims("x", tensor.F32, graph.Dim{Size: -1, Sym: "batch"}, graph.Dim{Size: 7}, graph.Dim{Size: 3})
	turned := b.OpA("Transpose", map[string]graph.Attr{"perm": graph.IntsAttr(1, 0, 2)}, x)
	b.Output("y", b.Op("MatMul", turned, b.Const(weight)))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g.Value(turned).Dims = []graph.Dim{{Size: 7}, {Size: -1, Sym: "batch"}, {Size: 3}}
	g.Nodes[1].Name = "/net/proj/MatMul"
	_, err = Inject(g, Adapter{Name: "a", Rank: 1, Targets: []string{"proj"}})
	var refused *graph.UnsupportedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "axis 1") {
		t.Errorf("got %v", err)
	}
}

// A module that is called twice is one module with one pair of factors, whatever the exporter calls the second call.
func TestInject_calledTwice(t *testing.T) {
	b := graph.NewBuilder("twice")
	x := b.Input("x", tensor.F32, -1, 3)
	w := b.Const(weight)
	b.Output("y", b.Op("Add", b.Op("MatMul", x, w), b.Op("MatMul", b.Op("Neg", x), w)))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"/head/proj/MatMul", "", "/head/proj_1/MatMul", ""} {
		g.Nodes[i].Name = name
	}
	modules := List(g)
	if len(modules) != 1 || modules[0].Name != "head.proj" || len(modules[0].nodes) != 2 {
		t.Fatalf("modules %+v", modules)
	}
	in, err := Inject(g, Adapter{Name: "a", Rank: 1, Targets: []string{"proj"}}, Adapter{Name: "b", Rank: 1, Targets: []string{"proj"}})
	if err != nil {
		t.Fatal(err)
	}
	given := values(in.Types(2), 1)
	given["x"] = tensor.FromF32([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	if y := run(t, in.Graph, given); difference(y, tensor.New(tensor.F32, 2, 2)) > 1e-5 {
		t.Errorf("x and -x do not cancel: %v", y.F32())
	}
}

// Adapters can be added to a graph that has some.
func TestInject_again(t *testing.T) {
	g := forms[0].made(t)
	a, b := Adapter{Name: "a", Rank: 1, Targets: []string{"proj"}}, Adapter{Name: "b", Rank: 2, Targets: []string{"proj"}}
	both, err := Inject(g, a, b)
	if err != nil {
		t.Fatal(err)
	}
	first, err := Inject(g, a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Inject(first.Graph, b)
	if err != nil {
		t.Fatal(err)
	}
	given := values(both.Types(2), 1)
	given["x"] = values(map[string]graph.Type{"x": {DType: tensor.F32, Shape: forms[0].shape}}, 1)["x"]
	if d := difference(run(t, both.Graph, given), run(t, second.Graph, given)); d > 1e-6 {
		t.Errorf("differs by %g", d)
	}
	if _, err := Inject(first.Graph, a); err == nil {
		t.Error("the same adapter twice: no error")
	}
}

// What the TorchScript exporter of torch 2.15 calls modules inside lists and Sequentials, and what named_modules() does.
func TestPathOf(t *testing.T) {
	c := &constants{names: []string{"encoder.layers.layers.0.norm.weight"}}
	for name, want := range map[string]string{
		"/blocks.0/blocks.0.0/MatMul":                        "blocks.0.0",
		"/blocks.0/blocks.0.1/blocks.0.1.0/MatMul_output_0":  "blocks.0.1.0",
		"/seq/seq.0/seq.0.0/MatMul":                          "seq.0.0",
		"/encoder/layers/layers.0/attn/MatMul_3_output_0":    "encoder.layers.layers.0.attn",
		"/decoder/layers/layers.0/Conv":                      "decoder.layers.0",
		"/down_blocks.0/attentions.0/attn1/to_out.0/MatMul":  "down_blocks.0.attentions.0.attn1.to_out.0",
		"/down_blocks.0/resnets.0/nonlinearity/Mul_output_0": "",
		"/MatMul_output_0":                                   "",
		"onnx::MatMul_1643":                                  "",
	} {
		if got := c.pathOf(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
