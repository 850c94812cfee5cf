package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
)

// hollow is the structure of one graph in a form that onnx-go decodes: every tensor and subgraph is replaced by a
// number, every Constant node by an initializer without data, every type is left out.
type hollow struct {
	bytes  []byte
	nodes  []*protoNode // those that onnx-go will report, in order
	lifted []*protoAttr // attributes that appear as their index here
}

// isConstant reports whether a node is an ONNX Constant.
func isConstant(n *protoNode) bool { return n.op == "Constant" && n.domain == "" }

// hollowName names node i in the hollow model. onnx-go derives a value name from it when a node has no inputs, so it
// must not meet a name of the file.
func hollowName(i int) string { return fmt.Sprintf("\x01node %d", i) }

// hollowOf writes the hollow model of g (subgraphs of g get one of their own).
func hollowOf(g *protoGraph) *hollow {
	h := &hollow{}
	var b []byte // the GraphProto
	for _, n := range g.nodes {
		if isConstant(n) {
			for _, out := range n.outputs {
				b = appendMessage(b, 5, appendText(nil, 8, out))
			}
			continue
		}
		b = appendMessage(b, 1, h.node(n))
		h.nodes = append(h.nodes, n)
	}
	for _, t := range g.tensors {
		b = appendMessage(b, 5, appendText(nil, 8, t.name))
	}
	for _, v := range g.inputs {
		b = appendMessage(b, 11, appendText(nil, 1, v.name))
	}
	for _, v := range g.outputs {
		b = appendMessage(b, 12, appendText(nil, 1, v.name))
	}
	h.bytes = appendMessage(nil, 7, b)
	return h
}

func (h *hollow) node(n *protoNode) []byte {
	var b []byte
	for _, name := range n.inputs {
		b = appendText(b, 1, name)
	}
	for _, name := range n.outputs {
		b = appendText(b, 2, name)
	}
	b = appendText(b, 3, hollowName(len(h.nodes)))
	b = appendText(b, 4, n.op)
	for i := range n.attrs {
		b = appendMessage(b, 5, h.attr(&n.attrs[i]))
	}
	return b
}

func (h *hollow) attr(a *protoAttr) []byte {
	b := appendText(nil, 1, a.name)
	kind, i := a.kind, a.i
	if kind == graph.AttrTensor || kind == graph.AttrGraph || kind == graph.AttrType {
		kind, i = graph.AttrInt, int64(len(h.lifted))
		h.lifted = append(h.lifted, a)
	}
	switch kind {
	case graph.AttrFloat:
		b = appendFloat(b, 2, a.f)
	case graph.AttrInt:
		b = appendInt(b, 3, i)
	case graph.AttrString:
		b = appendText(b, 4, a.s)
	case graph.AttrFloats:
		for _, v := range a.floats {
			b = appendFloat(b, 7, v)
		}
	case graph.AttrInts:
		for _, v := range a.ints {
			b = appendInt(b, 8, v)
		}
	case graph.AttrStrings:
		for _, v := range a.strings {
			b = appendText(b, 9, v)
		}
	}
	return appendInt(b, 20, attrType(kind))
}

// attrType is the inverse of attrTypes.
func attrType(kind graph.AttrKind) int64 {
	for n, k := range attrTypes {
		if k == kind {
			return n
		}
	}
	return 0
}

func appendMessage(b []byte, num protowire.Number, msg []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), msg)
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendInt(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}
