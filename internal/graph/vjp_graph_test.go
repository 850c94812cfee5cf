package graph

import (
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// All outputs of Split must be named, also those that nobody reads: ONNX Runtime runs into a null pointer otherwise.
func TestVJP_namesOutputsOfSplit(t *testing.T) {
	b := NewBuilder("split")
	x := b.Input("x", tensor.F32, 2, 4)
	parts := b.OpN("Split", map[string]Attr{"axis": IntAttr(1)}, 2, x)
	b.Output("y", b.Op("Mul", parts[0], parts[0]))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	both, err := VJP(g, map[string]Type{"x": {tensor.F32, []int{2, 4}}}, GradientSpec{Wrt: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(both.Nodes, func(n Node) bool { return n.Op == "Split" })
	if i < 0 || slices.Contains(both.Nodes[i].Outputs, None) {
		t.Errorf("node %d of %+v", i, both.Nodes)
	}
}
