package onnx

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// reparse writes a graph and reads it again, external data from where the written model says.
func reparse(t *testing.T, g *graph.Graph, opt *WriteOptions) (*Encoded, *graph.Graph) {
	t.Helper()
	e, err := Write(g, opt)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(g.Source, e.Bytes, func(location string) ([]byte, error) {
		if location != sideLocation {
			return os.ReadFile(filepath.Join(e.Folder, filepath.FromSlash(location)))
		}
		if len(e.Side) != 1 {
			return nil, fmt.Errorf("%d weights beside the model", len(e.Side))
		}
		return e.Side[0].Tensor.Data, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Producer != "winnow" {
		t.Errorf("producer %q", m.Producer)
	}
	return e, m.Graph
}

// normal is a graph by names: identifiers depend on the order in which a file lists values, and a Constant node is a
// place in the node list that a written graph no longer has.
type normal struct {
	Name            string
	Inputs, Outputs []string
	Values          map[string]graph.Value
	Nodes           []normalNode
	Metadata        map[string]string
	Opsets          map[string]int
}

type normalNode struct {
	graph.Node
	In, Out []string
	Graphs  map[string]normal
}

func normalise(g *graph.Graph) normal {
	name := func(ids []graph.ValueID) []string {
		var out []string
		for _, id := range ids {
			if id == graph.None {
				out = append(out, "")
			} else {
				out = append(out, g.Values[id].Name)
			}
		}
		return out
	}
	n := normal{Name: g.Name, Inputs: name(g.Inputs), Outputs: name(g.Outputs), Values: map[string]graph.Value{}, Metadata: g.Metadata, Opsets: g.Opsets}
	if len(n.Metadata) == 0 {
		n.Metadata = nil
	}
	for _, v := range g.Values {
		if v.Const != nil && v.Const.Data == nil { // a weight without elements
			v.Const = &tensor.Tensor{DType: v.DType, Shape: v.Const.Shape, Data: []byte{}}
		}
		n.Values[v.Name] = v
	}
	for _, m := range g.Nodes {
		x := normalNode{Node: m, In: name(m.Inputs), Out: name(m.Outputs), Graphs: map[string]normal{}}
		x.Index, x.Inputs, x.Outputs, x.Attrs = 0, nil, nil, map[string]graph.Attr{}
		for key, a := range m.Attrs {
			if a.Kind == graph.AttrGraph {
				x.Graphs[key] = normalise(a.G)
				continue
			}
			x.Attrs[key] = a
		}
		n.Nodes = append(n.Nodes, x)
	}
	return n
}

func wantSame(t *testing.T, got, want *graph.Graph) {
	t.Helper()
	g, w := normalise(got), normalise(want)
	if !reflect.DeepEqual(g.Values, w.Values) {
		for name := range w.Values {
			if !reflect.DeepEqual(g.Values[name], w.Values[name]) {
				t.Errorf("value %q: %+v, want %+v", name, g.Values[name], w.Values[name])
			}
		}
	}
	for i := range min(len(g.Nodes), len(w.Nodes)) {
		if !reflect.DeepEqual(g.Nodes[i], w.Nodes[i]) {
			t.Errorf("node %d: %+v, want %+v", i, g.Nodes[i], w.Nodes[i])
		}
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("the graphs differ: %v → %v, %d values, %d nodes, %v, %v; want %v → %v, %d values, %d nodes, %v, %v",
			g.Inputs, g.Outputs, len(g.Values), len(g.Nodes), g.Metadata, g.Opsets,
			w.Inputs, w.Outputs, len(w.Values), len(w.Nodes), w.Metadata, w.Opsets)
	}
}

// TestWriteRoundTrip writes every model of testdata and reads it again.
func TestWriteRoundTrip(t *testing.T) {
	for name, path := range testModels(t) {
		t.Run(name, func(t *testing.T) {
			m := openTest(t, path)
			_, got := reparse(t, m.Graph, nil)
			wantSame(t, got, m.Graph)
		})
	}
}

// Weights of a mapped file stay there.
func TestWriteKeepsWeightsInTheirFiles(t *testing.T) {
	for _, name := range []string{"torchscript17_ext", "torchscript17_files", "dynamo20_data"} {
		t.Run(name, func(t *testing.T) {
			m := openTest(t, "testdata/"+name+"/model.onnx")
			large := 0
			for _, v := range m.Graph.Values {
				if v.Const != nil && len(v.Const.Data) >= minExternal {
					large += len(v.Const.Data)
				}
			}
			e, _ := reparse(t, m.Graph, nil)
			want, err := filepath.Abs("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if e.Folder != want || large == 0 || len(e.Side) > 0 {
				t.Errorf("folder %q, want %q; %d bytes in large weights, %d beside", e.Folder, want, large, len(e.Side))
			}
			for _, v := range m.Graph.Values {
				if v.Const != nil && len(v.Const.Data) >= minExternal && strings.Contains(string(e.Bytes), string(v.Const.Data)) {
					t.Errorf("the bytes of %q were copied into the model", v.Name)
				}
			}
		})
	}
}

// Weights of a file that was replaced since are copied.
func TestWriteReplacedFile(t *testing.T) {
	if runtime.GOOS == "windows" { // a mapped file cannot be replaced there
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"model.onnx", "model.onnx_data"} {
		data, err := os.ReadFile("testdata/torchscript17_ext/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := openTest(t, filepath.Join(dir, "model.onnx"))
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 1<<15), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Join(dir, "model.onnx_data")); err != nil {
		t.Fatal(err)
	}
	e, got := reparse(t, m.Graph, nil)
	wantSame(t, got, m.Graph)
	if e.Folder != "" {
		t.Errorf("folder %q, want none", e.Folder)
	}
}

// Two models with weights in different folders refer to both from the folder above them.
func TestWriteWeightsOfSeveralFolders(t *testing.T) {
	a := openTest(t, "testdata/torchscript17_ext/model.onnx")
	b := openTest(t, "testdata/dynamo20_data/model.onnx")
	g := *a.Graph
	for _, v := range b.Graph.Values {
		if v.Const != nil {
			v.Name = "other/" + v.Name
			g.Values = append(slices.Clip(g.Values), v)
		}
	}
	e, got := reparse(t, &g, nil)
	if filepath.Base(e.Folder) != "testdata" {
		t.Errorf("folder %q", e.Folder)
	}
	wantSame(t, got, &g)
}

// A weight that does not fit goes beside the model; one in an attribute is refused.
func TestWriteLimit(t *testing.T) {
	b := graph.NewBuilder("limit")
	big := tensor.New(tensor.F32, 300)
	for i := range big.F32() {
		big.F32()[i] = float32(i)
	}
	b.Output("y", b.Op("Add", b.Input("x", tensor.F32, 300), b.Const(big)))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	e, got := reparse(t, g, &WriteOptions{MaxInline: 100})
	wantSame(t, got, g)
	if len(e.Side) != 1 || e.Side[0].Name != g.Values[1].Name || len(e.Bytes) > 1000 {
		t.Errorf("beside the model: %v", e.Side)
	}
	b.Output("z", b.OpA("ConstantOfShape", map[string]graph.Attr{"value": graph.TensorAttr(big)}, b.Input("s", tensor.I64, 1)))
	if g, err = b.Build(); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(g, &WriteOptions{MaxInline: 100}); err == nil || !strings.Contains(err.Error(), "ConstantOfShape") {
		t.Errorf("a large attribute: %v", err)
	}
}

// Static input types replace declarations.
func TestWriteStaticInputs(t *testing.T) {
	b := graph.NewBuilder("static")
	x := b.InputDims("x", tensor.F32, graph.Dim{Size: -1, Sym: "batch"}, graph.Dim{Size: 3})
	b.Output("y", b.Op("Neg", x))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	_, same := reparse(t, g, nil)
	wantSame(t, same, g)
	_, got := reparse(t, g, &WriteOptions{Inputs: map[string]graph.Type{"x": {DType: tensor.F32, Shape: []int{2, 3}}}})
	if d := got.Values[got.Inputs[0]].Dims; !reflect.DeepEqual(d, []graph.Dim{{Size: 2}, {Size: 3}}) {
		t.Errorf("dimensions %v", d)
	}
}

// Values that share a name, or have none, get names of their own, and so do nodes that share one.
func TestWriteNames(t *testing.T) {
	b := graph.NewBuilder("names")
	x := b.Input("x", tensor.F32, 2)
	y := b.Op("Exp", b.Op("Neg", b.Op("Abs", x)))
	b.Output("y", y)
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g.Values[1].Name, g.Values[2].Name = "", "x"
	g.Nodes[0].Name, g.Nodes[1].Name, g.Nodes[2].Name = "n", "n", ""
	_, got := reparse(t, g, nil)
	if a, b, c := got.Nodes[0].Name, got.Nodes[1].Name, got.Nodes[2].Name; a != "n" || b == "n" || b == "" || c != "" {
		t.Errorf("nodes %q, %q, %q", a, b, c)
	}
	names := map[string]bool{}
	for _, v := range got.Values {
		names[v.Name] = true
	}
	if len(names) != 4 || !names["x"] || !names["y"] || len(got.Nodes) != 3 || got.Nodes[1].Inputs[0] != got.Nodes[0].Outputs[0] {
		t.Errorf("names %v", slices.Sorted(maps.Keys(names)))
	}
}

// Nodes of several versions of one operator set cannot stand in one file.
func TestWriteMixedOpsets(t *testing.T) {
	b := graph.NewBuilder("mixed").Opset("", 13)
	y := b.Op("Neg", b.Input("x", tensor.F32, 2))
	b.Opset("", 17).Output("y", b.Op("Abs", y))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(g, nil); err == nil || !strings.Contains(err.Error(), "version 13") {
		t.Errorf("error %v", err)
	}
}
