package onnx

import (
	"os"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/gonum/graph/topo"

	"winnow/internal/graph"
)

func scanFile(t testing.TB, path string) *protoModel {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := (&scanner{source: &source{path, data}}).model()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// onnx-go's reading of the structure and ours, attribute by attribute and edge by edge, for every graph and subgraph.
func TestOnnxGoAgreesWithScan(t *testing.T) {
	for name, path := range testModels(t) {
		t.Run(name, func(t *testing.T) {
			m := scanFile(t, path)
			if n := agreeBelow(t, m.graph); n == 0 {
				t.Error("no node compared")
			}
		})
	}
}

func agreeBelow(t *testing.T, g *protoGraph) (nodes int) {
	h := hollowOf(g)
	ops, err := h.decode()
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range ops {
		n := h.nodes[i]
		if o.op != n.op || !slices.Equal(o.inputs, n.inputs) || !slices.Equal(o.outputs, n.outputs) {
			t.Errorf("%s: onnx-go sees %+v, the scan %+v", n.label(), o, n)
		}
		if len(o.attrs) != len(n.attrs) {
			t.Errorf("%s: onnx-go sees attributes %v", n.label(), o.attrs)
		}
		for k := range n.attrs {
			a := &n.attrs[k]
			if want := plain(h, a); !reflect.DeepEqual(o.attrs[a.name], want) {
				t.Errorf("%s: attribute %s: onnx-go sees %#v, the scan %#v", n.label(), a.name, o.attrs[a.name], want)
			}
			if a.graph != nil {
				nodes += agreeBelow(t, a.graph)
			}
		}
	}
	return nodes + len(ops)
}

// plain returns the Go value that onnx-go should report for an attribute.
func plain(h *hollow, a *protoAttr) any {
	switch a.kind {
	case graph.AttrInt:
		return a.i
	case graph.AttrFloat:
		return a.f
	case graph.AttrString:
		return a.s
	case graph.AttrInts:
		return a.ints
	case graph.AttrFloats:
		return a.floats
	case graph.AttrStrings:
		return append([]string{}, a.strings...)
	}
	return int64(slices.Index(h.lifted, a))
}

// The hollow model is structure only: no weights, however large the file.
func TestHollowIsSmall(t *testing.T) {
	m := scanFile(t, "testdata/torchscript14.onnx")
	info, err := os.Stat("testdata/torchscript14.onnx")
	if err != nil {
		t.Fatal(err)
	}
	h := hollowOf(m.graph)
	weights := 0
	for _, w := range m.graph.tensors {
		weights += w.raw.hi - w.raw.lo
	}
	if len(h.bytes) > int(info.Size())-weights {
		t.Errorf("hollow model of %d bytes; the file has %d, %d of them weights", len(h.bytes), info.Size(), weights)
	}
}

// The backend is a gonum graph, so gonum's algorithms work on it: edges run from outputs to inputs without a cycle.
func TestBackendIsAGonumGraph(t *testing.T) {
	b := newBackend()
	h := hollowOf(scanFile(t, "testdata/constants.onnx").graph)
	if err := unmarshal(b, h.bytes); err != nil {
		t.Fatal(err)
	}
	order, err := topo.Sort(b)
	if err != nil || len(order) < len(h.nodes) {
		t.Errorf("topological order of %d values, %v", len(order), err)
	}
}
