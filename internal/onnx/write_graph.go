package onnx

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// writer encodes the graphs of one model.
type writer struct {
	placer
	opt WriteOptions
}

// graph encodes a GraphProto; names are those of its values.
func (w *writer) graph(g *graph.Graph, names []string, main bool) ([]byte, error) {
	var b []byte
	outputs, nodes := slices.Clone(names), nodeNames(g)
	for i := range g.Nodes {
		n, err := w.node(&g.Nodes[i], nodes[i], names)
		if err != nil {
			return nil, err
		}
		b = appendMessage(b, 1, n)
	}
	if !main { // a branch may not return a value of the graph around it as it is
		for _, id := range outerOutputs(g) {
			outputs[id] = names[id] + "/returned"
			b = appendMessage(b, 1, identityNode(names[id], outputs[id]))
		}
	}
	b = appendText(b, 2, g.Name)
	for i := range g.Values {
		if t := g.Values[i].Const; t != nil {
			b = appendMessage(b, 5, w.tensor(names[i], t))
		}
	}
	border := make([]bool, len(g.Values))
	for _, id := range g.Inputs {
		border[id] = true
		b = appendMessage(b, 11, w.valueInfo(&g.Values[id], names[id], w.inputType(g, id, main)))
	}
	static := w.opt.Inputs != nil
	for _, id := range g.Outputs {
		border[id] = true
		v := g.Values[id]
		if static && v.Const == nil {
			v.Dims = nil
		}
		b = appendMessage(b, 12, w.valueInfo(&v, outputs[id], nil))
	}
	if static {
		return b, nil
	}
	for _, id := range inner(g) {
		if !border[id] {
			b = appendMessage(b, 13, w.valueInfo(&g.Values[id], names[id], nil))
		}
	}
	return b, nil
}

func (w *writer) inputType(g *graph.Graph, id graph.ValueID, main bool) *graph.Type {
	if t, ok := w.opt.Inputs[g.Values[id].Name]; ok && main {
		return &t
	}
	return nil
}

// produced marks the values that nodes of g make.
func produced(g *graph.Graph) []bool {
	out := make([]bool, len(g.Values))
	for i := range g.Nodes {
		for _, id := range g.Nodes[i].Outputs {
			if id != graph.None {
				out[id] = true
			}
		}
	}
	return out
}

// inner lists the values that a file declares under value_info: results of nodes with a known type.
func inner(g *graph.Graph) []graph.ValueID {
	var ids []graph.ValueID
	for id, made := range produced(g) {
		if v := &g.Values[id]; made && (v.DType != tensor.Invalid || v.Dims != nil) {
			ids = append(ids, graph.ValueID(id))
		}
	}
	return ids
}

// outerOutputs lists the outputs of a branch that are values of the graph around it.
func outerOutputs(g *graph.Graph) []graph.ValueID {
	own := produced(g)
	for _, id := range g.Inputs {
		own[id] = true
	}
	var ids []graph.ValueID
	for _, id := range g.Outputs {
		if !own[id] && g.Values[id].Const == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func identityNode(from, to string) []byte {
	return appendText(appendText(appendText(nil, 1, from), 2, to), 4, "Identity")
}

// node encodes a NodeProto under a name; names are those of the values.
func (w *writer) node(n *graph.Node, own string, names []string) ([]byte, error) {
	var b []byte
	for i, ids := range [][]graph.ValueID{n.Inputs, n.Outputs} {
		for _, id := range ids {
			name := ""
			if id != graph.None {
				name = names[id]
			}
			b = appendText(b, protowire.Number(1+i), name)
		}
	}
	if own != "" {
		b = appendText(b, 3, own)
	}
	b = appendText(b, 4, n.Op)
	for _, name := range slices.Sorted(maps.Keys(n.Attrs)) {
		a := n.Attrs[name]
		if a.Kind == graph.AttrNone {
			continue
		}
		msg, err := w.attr(name, &a)
		if err != nil {
			return nil, fmt.Errorf("attribute %s of %s: %w", quote(name), n.Label(), err)
		}
		b = appendMessage(b, 5, msg)
	}
	if d := canonical(n.Domain); d != "" {
		b = appendText(b, 7, d)
	}
	if n.Scope != "" {
		b = appendMessage(b, 9, entry(scopesKey, scopeList(n.Scope, n.Op)))
	}
	return b, nil
}

// scopeList is the inverse of moduleOf: the list of scopes of an operation within a module.
func scopeList(module, op string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(module)
	return fmt.Sprintf("['', '%s', '%s']", quoted, op)
}

// attr encodes an AttributeProto.
func (w *writer) attr(name string, a *graph.Attr) ([]byte, error) {
	b := appendText(nil, 1, name)
	switch a.Kind {
	case graph.AttrFloat:
		b = appendFloat(b, 2, a.F)
	case graph.AttrInt:
		b = appendInt(b, 3, a.I)
	case graph.AttrString:
		b = appendText(b, 4, a.S)
	case graph.AttrTensor:
		if len(a.T.Data) > w.opt.MaxInline {
			return nil, fmt.Errorf("%v does not fit into the %d bytes that a model may hold", *a.T, w.opt.MaxInline)
		}
		b = appendMessage(b, 5, w.tensor("", a.T))
	case graph.AttrGraph:
		g, err := w.graph(a.G, valueNames(a.G), false)
		if err != nil {
			return nil, err
		}
		b = appendMessage(b, 6, g)
	case graph.AttrType:
		b = appendMessage(b, 14, typeProto(a.Type.Container, a.Type.DType, a.Type.Dims))
	case graph.AttrFloats:
		for _, v := range a.Floats {
			b = appendFloat(b, 7, v)
		}
	case graph.AttrInts:
		for _, v := range a.Ints {
			b = appendInt(b, 8, v)
		}
	case graph.AttrStrings:
		for _, v := range a.Strings {
			b = appendText(b, 9, v)
		}
	}
	return appendInt(b, 20, attrType(a.Kind)), nil
}

// tensor encodes a TensorProto, with its bytes or with the place where they are.
func (w *writer) tensor(name string, t *tensor.Tensor) []byte {
	var b []byte
	for _, d := range t.Shape {
		b = appendInt(b, 1, int64(d))
	}
	b = appendInt(b, 2, int64(t.DType.ONNX()))
	if name != "" {
		b = appendText(b, 8, name)
	}
	at := w.places[t]
	if name == "" { // attributes hold their tensors themselves
		at = place{}
	}
	switch {
	case t.DType == tensor.String:
		for _, s := range t.Strings() {
			b = appendText(b, 6, s)
		}
	case at.side:
		b = appendExternal(b, sideLocation, 0, t.DType.PackedBytes(t.Elems()))
	case at.file != "":
		b = appendExternal(b, w.location(at.file), at.offset, len(t.Data))
	default:
		b = appendMessage(b, 9, t.Packed())
	}
	return b
}

func appendExternal(b []byte, location string, offset int64, length int) []byte {
	b = appendMessage(b, 13, entry("location", location))
	b = appendMessage(b, 13, entry("offset", strconv.FormatInt(offset, 10)))
	b = appendMessage(b, 13, entry("length", strconv.Itoa(length)))
	return appendInt(b, 14, 1)
}

// valueInfo encodes a ValueInfoProto with the declared type, or with a static one in its place.
func (w *writer) valueInfo(v *graph.Value, name string, static *graph.Type) []byte {
	b := appendText(nil, 1, name)
	dt, dims := v.DType, v.Dims
	if static != nil {
		dt, dims = static.DType, make([]graph.Dim, len(static.Shape))
		for i, d := range static.Shape {
			dims[i].Size = d
		}
	}
	if dt == tensor.Invalid && dims == nil {
		return b
	}
	return appendMessage(b, 2, typeProto(v.Container, dt, dims))
}

// typeProto encodes a TypeProto.
func typeProto(c graph.Container, dt tensor.DType, dims []graph.Dim) []byte {
	var typ []byte
	if dt != tensor.Invalid {
		typ = appendInt(typ, 1, int64(dt.ONNX()))
	}
	if dims != nil {
		var shape []byte
		for _, d := range dims {
			shape = appendMessage(shape, 1, dimension(d))
		}
		typ = appendMessage(typ, 2, shape)
	}
	typ = appendMessage(nil, 1, typ)
	if c == graph.Sequence || c == graph.OptionalSequence {
		typ = appendMessage(nil, 4, appendMessage(nil, 1, typ))
	}
	if c == graph.Optional || c == graph.OptionalSequence {
		typ = appendMessage(nil, 9, appendMessage(nil, 1, typ))
	}
	return typ
}

func dimension(d graph.Dim) []byte {
	switch {
	case d.Size >= 0:
		return appendInt(nil, 1, int64(d.Size))
	case d.Sym != "":
		return appendText(nil, 2, d.Sym)
	}
	return nil
}

// entry encodes a StringStringEntryProto.
func entry(key, value string) []byte { return appendText(appendText(nil, 1, key), 2, value) }

func appendFloat(b []byte, num protowire.Number, v float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(v))
}
