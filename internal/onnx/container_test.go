package onnx

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// TestContainerTypes: the declared types of inputs and of attributes are read, written and read again.
func TestContainerTypes(t *testing.T) {
	dims := []graph.Dim{{Size: 5}}
	for _, c := range []graph.Container{graph.NoContainer, graph.Sequence, graph.Optional, graph.OptionalSequence} {
		declared := graph.Value{Name: "x", DType: tensor.F32, Dims: dims, Container: c}
		g := &graph.Graph{
			Name: "containers", Source: "containers.onnx", Opsets: map[string]int{"": 18},
			Values: []graph.Value{declared, {Name: "same"}, {Name: "none"}},
			Nodes: []graph.Node{
				{Op: "Identity", Opset: 18, Inputs: []graph.ValueID{0}, Outputs: []graph.ValueID{1}},
				{Op: "Optional", Opset: 18, Outputs: []graph.ValueID{2}, Attrs: map[string]graph.Attr{"type": {Kind: graph.AttrType, Type: &declared}}},
			},
			Inputs: []graph.ValueID{0}, Outputs: []graph.ValueID{1, 2},
		}
		_, back := reparse(t, g, nil)
		if p := ports(back, back.Inputs)[0]; c != graph.NoContainer && p.Container != c.String() {
			t.Errorf("the summary of %v says %q", c, p.Container)
		}
		typ := back.Nodes[1].Attrs["type"].Type
		for what, v := range map[string]*graph.Value{"input": back.Value(back.Inputs[0]), "attribute": typ} {
			if v == nil || v.Container != c || v.DType != tensor.F32 || len(v.Dims) != 1 || v.Dims[0].Size != 5 {
				t.Errorf("%s of type %v comes back as %+v", what, c, v)
			}
		}
	}
}

// TestContainerTypes_Refused: containers of anything but tensors are legal ONNX that is not read.
func TestContainerTypes_Refused(t *testing.T) {
	float := appendMessage(nil, 1, appendInt(nil, 1, 1))
	wrapped := func(num protowire.Number, typ []byte) []byte {
		return appendMessage(nil, num, appendMessage(nil, 1, typ))
	}
	for name, typ := range map[string][]byte{
		"sequence of sequences": wrapped(4, wrapped(4, float)), "sequence of optionals": wrapped(4, wrapped(9, float)),
		"optional of optionals": wrapped(9, wrapped(9, float)), "sequence of maps": wrapped(4, appendMessage(nil, 5, nil)),
		"sequence of nothing": wrapped(4, nil),
	} {
		input := appendMessage(appendText(nil, 1, "s"), 2, typ)
		identity := appendMessage(nil, 1, appendText(appendText(appendText(nil, 1, "s"), 2, "y"), 4, "Identity"))
		g := appendMessage(appendMessage(identity, 11, input), 12, appendText(nil, 1, "y"))
		model := appendMessage(appendMessage(appendInt(nil, 1, 8), 7, g), 8, appendInt(appendText(nil, 1, ""), 2, 18))
		_, err := Parse("bad.onnx", model, nil)
		var f *FileError
		if !errors.As(err, &f) || !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: error %v, want a *FileError that is ErrUnsupported", name, err)
		}
	}
}
