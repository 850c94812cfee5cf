package lora

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"testing"

	"winnow/assets"
	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// network opens an exported U-Net: from the tests' tiny pipelines, or the embedded one.
func network(t *testing.T, kind string) *graph.Graph {
	t.Helper()
	if kind != "mini" {
		m, err := onnx.Open("../../tests/tiny/" + kind + "/unet/model.onnx")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m.Graph
	}
	const file = "unet/model.onnx"
	data, err := fs.ReadFile(assets.Mini(), file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(file, data, func(name string) ([]byte, error) { return fs.ReadFile(assets.Mini(), path.Join("unet", name)) })
	if err != nil {
		t.Fatal(err)
	}
	return m.Graph
}

// One network per exporter: sd15 and mini come from TorchScript, sdxl from dynamo. The numbers are those of torch's
// named_modules() for the configurations in tests/oracle/pipelines.py.
func TestList(t *testing.T) {
	for _, c := range []struct {
		kind         string
		linear, conv int
		want         []Module
	}{
		{"sd15", 50, 33, []Module{
			{Name: "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", Kind: Linear, In: 32, Out: 8},
			{Name: "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0", Kind: Linear, In: 8, Out: 8},
			{Name: "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj", Kind: Linear, In: 16, Out: 128},
			{Name: "time_embedding.linear_1", Kind: Linear, In: 8, Out: 32},
			{Name: "down_blocks.0.downsamplers.0.conv", Kind: Conv, In: 8, Out: 8, Kernel: []int{3, 3}},
			{Name: "mid_block.attentions.0.proj_in", Kind: Conv, In: 16, Out: 16, Kernel: []int{1, 1}},
			{Name: "conv_out", Kind: Conv, In: 8, Out: 4, Kernel: []int{3, 3}},
		}},
		{"sdxl", 100, 25, []Module{
			{Name: "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_v", Kind: Linear, In: 72, Out: 16},
			{Name: "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0", Kind: Linear, In: 16, Out: 16},
			{Name: "down_blocks.1.attentions.0.proj_in", Kind: Linear, In: 16, Out: 16},
			{Name: "add_embedding.linear_1", Kind: Linear, In: 72, Out: 32},
			{Name: "down_blocks.0.downsamplers.0.conv", Kind: Conv, In: 8, Out: 8, Kernel: []int{3, 3}},
		}},
		{"mini", 50, 33, []Module{
			{Name: "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", Kind: Linear, In: 64, Out: 64},
			{Name: "up_blocks.0.upsamplers.0.conv", Kind: Conv, Kernel: []int{3, 3}},
		}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			modules, nameless := survey(network(t, c.kind))
			byName, count := map[string]Module{}, map[Kind]int{}
			for _, m := range modules {
				byName[m.Name] = m
				count[m.Kind]++
			}
			t.Logf("%d linear, %d conv, %d without a name", count[Linear], count[Conv], nameless)
			if nameless > 0 || len(byName) != len(modules) {
				t.Errorf("%d calls without a name, %d modules with %d names", nameless, len(modules), len(byName))
			}
			if count[Linear] != c.linear || count[Conv] != c.conv {
				t.Errorf("%d linear and %d conv, want %d and %d", count[Linear], count[Conv], c.linear, c.conv)
			}
			for _, w := range c.want {
				m, ok := byName[w.Name]
				if !ok || m.Kind != w.Kind || !slices.Equal(m.Kernel, w.Kernel) || w.In > 0 && (m.In != w.In || m.Out != w.Out) {
					t.Errorf("%s: got %+v, want %+v", w.Name, m, w)
				}
			}
		})
	}
}

// types are input types for a U-Net.
func types(g *graph.Graph, batch int) map[string]graph.Type {
	out := map[string]graph.Type{}
	for _, id := range g.Inputs {
		v := g.Value(id)
		shape := make([]int, len(v.Dims))
		for i, d := range v.Dims {
			shape[i] = d.Size
			if d.Size < 0 {
				shape[i] = map[bool]int{true: batch, false: 8}[i == 0]
			}
		}
		out[v.Name] = graph.Type{DType: v.DType, Shape: shape}
	}
	return out
}

// values fills tensors of the given types with numbers that all differ.
func values(types map[string]graph.Type, amplitude float64) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for name, typ := range types {
		x := tensor.New(typ.DType, typ.Shape...)
		if typ.DType == tensor.F32 {
			for i := range x.F32() {
				x.F32()[i] = float32(amplitude * math.Sin(float64(len(name)*7+i*3)))
			}
		}
		out[name] = x
	}
	return out
}

func run(t *testing.T, g *graph.Graph, in map[string]tensor.Tensor) tensor.Tensor {
	t.Helper()
	given := map[string]graph.Type{}
	for name, x := range in {
		given[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	p, err := graph.Compile(g, given, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out[g.Value(g.Outputs[0]).Name]
}

func difference(a, b tensor.Tensor) float64 {
	worst := 0.0
	for i, v := range a.F32() {
		worst = max(worst, math.Abs(float64(v-b.F32()[i])))
	}
	return worst
}

var attention = []string{"to_q", "to_k", "to_v", "to_out.0"}

// A scale of zero gives the base model, each sample follows its own scale, the source graph stays as it is, and adapters
// are switched by inputs alone.
func TestInject_scales(t *testing.T) {
	for _, kind := range []string{"sd15", "sd2", "sdxl", "mini"} {
		t.Run(kind, func(t *testing.T) {
			g := network(t, kind)
			nodes, inputs := len(g.Nodes), len(g.Inputs)
			before := fmt.Sprint(g.Nodes[nodes/2], g.Inputs)
			in, err := Inject(g,
				Adapter{Name: "chosen", Rank: 2, Targets: append([]string{"conv1", "ff.net.0.proj", "downsamplers.0.conv", "time_emb_proj"}, attention...)},
				Adapter{Name: "rejected", Rank: 3, Alpha: 6, Targets: attention})
			if err != nil {
				t.Fatal(err)
			}
			if len(g.Nodes) != nodes || len(g.Inputs) != inputs || fmt.Sprint(g.Nodes[nodes/2], g.Inputs) != before {
				t.Error("the source graph was changed")
			}
			const batch = 3
			given := values(types(g, batch), 1)
			base := run(t, g, given)
			for name, x := range values(in.Types(batch), 0.3) {
				given[name] = x
			}
			scales := func(chosen, rejected []float32) tensor.Tensor {
				given[ScaleName("chosen")] = tensor.FromF32(chosen, batch)
				given[ScaleName("rejected")] = tensor.FromF32(rejected, batch)
				return run(t, in.Graph, given)
			}
			if d := difference(scales([]float32{0, 0, 0}, []float32{0, 0, 0}), base); d > 1e-6 {
				t.Errorf("scale 0 differs from the base model by %g", d)
			}
			all := scales([]float32{1, 1, 1}, []float32{0, 0, 0})
			other := scales([]float32{0, 0, 0}, []float32{1, 1, 1})
			mixed := scales([]float32{1, 0, 0}, []float32{0, 0, 1})
			size := base.Elems() / batch
			for sample, want := range []tensor.Tensor{all, base, other} {
				part := func(x tensor.Tensor) tensor.Tensor { return tensor.FromF32(x.F32()[sample*size:(sample+1)*size], size) }
				if d := difference(part(mixed), part(want)); d > 2e-6 {
					t.Errorf("sample %d differs by %g from a batch of its own scale", sample, d)
				}
			}
			if difference(all, base) < 1e-3 || difference(all, other) < 1e-3 {
				t.Error("the adapters change nothing")
			}
		})
	}
}

func TestInject_counts(t *testing.T) {
	g := network(t, "sd15")
	in, err := Inject(g, Adapter{
		Name: "a", Rank: 4, Alpha: 2, Targets: attention, Exclude: []string{"attn2.to_k"},
		Ranks: map[string]int{"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 1},
	}, Adapter{Name: "b", Rank: 1, Pattern: `.*resnets\.[01]\.conv[12]`})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := len(in.Params("a")), len(in.Params("b")); a != 2*(32-4) || b != 2*16 {
		t.Errorf("%d and %d factors", a, b)
	}
	for _, l := range in.Layers {
		switch {
		case l.Module == "mid_block.attentions.0.transformer_blocks.0.attn1.to_q":
			if l.Rank != 1 || l.Scale != 2 || !slices.Equal(l.A.Shape, []int{1, 16}) || !slices.Equal(l.B.Shape, []int{16, 1}) {
				t.Errorf("rank of a single module: %+v", l)
			}
			if l.A.Name != "lora.a.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight" {
				t.Errorf("name %s", l.A.Name)
			}
		case l.Adapter == "a" && l.Scale != 0.5:
			t.Errorf("scale of %s is %g", l.Module, l.Scale)
		case l.Module == "down_blocks.1.resnets.0.conv1":
			if !slices.Equal(l.A.Shape, []int{1, 8, 3, 3}) || !slices.Equal(l.B.Shape, []int{16, 1, 1, 1}) {
				t.Errorf("factors of a convolution: %+v", l)
			}
		}
	}
}

func TestInject_refusals(t *testing.T) {
	g := network(t, "sd15")
	var target *TargetError
	_, err := Inject(g, Adapter{Name: "a", Rank: 1, Targets: []string{"to_q", "to_qq"}})
	if !errors.As(err, &target) || target.Target != "to_qq" || !strings.Contains(err.Error(), "to_q (") {
		t.Errorf("unmatched target: %v", err)
	}
	for name, adapters := range map[string][]Adapter{
		"want a word":      {{Name: "a.b", Rank: 1, Targets: attention}},
		"there already":    {{Name: "a", Rank: 1, Targets: attention}, {Name: "a", Rank: 1, Targets: attention}},
		"want 1 or more":   {{Name: "a", Targets: attention}},
		"no target":        {{Name: "a", Rank: 1}},
		"target pattern":   {{Name: "a", Rank: 1, Pattern: "("}},
		"a rank or alpha":  {{Name: "a", Rank: 1, Targets: attention, Alphas: map[string]float64{"conv_in": 2}}},
		`"q_proj" matches`: {{Name: "a", Rank: 1, Targets: []string{"q_proj"}}},
	} {
		if _, err := Inject(g, adapters...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, got %v", name, err)
		}
	}
	fused, err := onnx.Open("../../tests/optimised/sd15_unet.onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer fused.Close()
	_, err = Inject(fused.Graph, Adapter{Name: "a", Rank: 1, Targets: []string{"to_zz"}})
	if err == nil || !strings.Contains(err.Error(), "without optimisation") {
		t.Errorf("a file of an optimiser: %v", err)
	}
}

// textNetwork opens an exported text encoder.
func textNetwork(t *testing.T, folder string) *graph.Graph {
	t.Helper()
	m, err := onnx.Open("../../tests/tiny/" + folder + "/model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m.Graph
}
