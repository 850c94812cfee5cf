package onnx

import (
	"fmt"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// builder joins the scan's view and onnx-go's view of a model.
type builder struct {
	*loader
	opsets map[string]int
}

// scope is a graph under construction with the names that it defines so far.
type scope struct {
	g      *graph.Graph
	ids    map[string]graph.ValueID
	types  map[string]*protoValue // declared types of values
	parent *scope                 // the graph around a subgraph
}

func (b *builder) fail(at int, where, cure, format string, args ...any) error {
	return &FileError{File: b.src.name, Offset: int64(at), Where: where, What: fmt.Sprintf(format, args...), Cure: cure}
}

// build converts a graph; parent is nil for the outermost one.
func (b *builder) build(p *protoGraph, parent *scope) (*graph.Graph, error) {
	s := &scope{
		g:   &graph.Graph{Name: p.name, Source: b.src.name, Opsets: b.opsets},
		ids: map[string]graph.ValueID{}, types: map[string]*protoValue{}, parent: parent,
	}
	for _, list := range [][]protoValue{p.infos, p.outputs} {
		for i := range list {
			s.types[list[i].name] = &list[i]
		}
	}
	if len(p.outputs) == 0 {
		return nil, b.fail(p.position, "", cureTruncated, "a graph without outputs")
	}
	for _, step := range []func(*protoGraph, *scope) error{b.initializers, b.inputs, b.nodes, b.outputs} {
		if err := step(p, s); err != nil {
			return nil, err
		}
	}
	return s.g, nil
}

// define adds a value; every name is defined once.
func (b *builder) define(s *scope, at int, where string, v graph.Value) error {
	if v.Name == "" {
		return b.fail(at, where, cureExport, "a value without a name")
	}
	if _, ok := s.ids[v.Name]; ok {
		return b.fail(at, where, cureExport, "value %s is defined twice", quote(v.Name))
	}
	s.ids[v.Name] = graph.ValueID(len(s.g.Values))
	s.g.Values = append(s.g.Values, v)
	return nil
}

func constant(name string, t *tensor.Tensor) graph.Value {
	dims := make([]graph.Dim, len(t.Shape))
	for i, d := range t.Shape {
		dims[i].Size = d
	}
	return graph.Value{Name: name, DType: t.DType, Dims: dims, Const: t}
}

func (b *builder) initializers(p *protoGraph, s *scope) error {
	for _, pt := range p.tensors {
		where := "tensor " + quote(pt.name)
		t, err := b.load(pt, where)
		if err != nil {
			return err
		}
		if err := b.define(s, pt.at, where, constant(pt.name, t)); err != nil {
			return err
		}
	}
	return nil
}

// inputs enters the inputs. Before IR version 4 the initializers were listed as inputs too: those are constants here.
func (b *builder) inputs(p *protoGraph, s *scope) error {
	initializer := map[string]bool{}
	for _, t := range p.tensors {
		initializer[t.name] = true
	}
	for i := range p.inputs {
		v := &p.inputs[i]
		where := "input " + quote(v.name)
		if initializer[v.name] {
			continue
		}
		if !v.readable() {
			return &FileError{
				File: b.src.name, Offset: int64(v.at), Where: where, What: "an input that is no tensor of a common element type, and no sequence or optional of such",
				Err: ErrUnsupported, Cure: cureExport,
			}
		}
		if err := b.define(s, v.at, where, v.value()); err != nil {
			return err
		}
		s.g.Inputs = append(s.g.Inputs, s.ids[v.name])
	}
	return nil
}

func (b *builder) outputs(p *protoGraph, s *scope) error {
	for i := range p.outputs {
		v := &p.outputs[i]
		id, ok := s.resolve(v.name)
		if !ok {
			return b.fail(v.at, "output "+quote(v.name), cureExport, "no node makes this output")
		}
		s.g.Outputs = append(s.g.Outputs, id)
	}
	return nil
}

// resolve finds a name in the scope or around it. A name from around becomes a value of the scope without producer:
// graph.Graph's way to say "read from the enclosing graph".
func (s *scope) resolve(name string) (graph.ValueID, bool) {
	if id, ok := s.ids[name]; ok {
		return id, true
	}
	if s.parent == nil || name == "" {
		return graph.None, false
	}
	outer, ok := s.parent.resolve(name)
	if !ok {
		return graph.None, false
	}
	v := s.parent.g.Values[outer]
	id := graph.ValueID(len(s.g.Values))
	s.g.Values = append(s.g.Values, graph.Value{Name: name, DType: v.DType, Dims: v.Dims, Container: v.Container})
	s.ids[name] = id
	return id, true
}

func (b *builder) nodes(p *protoGraph, s *scope) error {
	h := hollowOf(p)
	ops, err := h.decode()
	if err != nil {
		return &FileError{File: b.src.name, Offset: int64(p.position), What: "cannot decode the graph", Err: err}
	}
	k := 0
	for _, n := range p.nodes {
		if isConstant(n) {
			err = b.constantNode(n, s)
		} else {
			err = b.node(n, &ops[k], h, s)
			k++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// node enters one node: inputs, outputs, operator and attributes as onnx-go sees them, the rest as the scan does.
func (b *builder) node(n *protoNode, o *operation, h *hollow, s *scope) error {
	node := graph.Node{
		Name: n.name, Op: o.op, Domain: n.domain, Opset: n.opset, Scope: n.scope, Index: n.index,
		Attrs: make(map[string]graph.Attr, len(n.attrs)),
	}
	for i, name := range o.inputs {
		id, ok := s.resolve(name)
		if !ok && name != "" {
			return b.fail(n.at, n.label(), cureExport,
				"input %d, %s, is no input, no weight and no output of an earlier node", i, quote(name))
		}
		node.Inputs = append(node.Inputs, id)
	}
	for i := range n.attrs {
		a, err := b.attr(n, &n.attrs[i], o, h, s)
		if err != nil {
			return err
		}
		node.Attrs[n.attrs[i].name] = a
	}
	for _, name := range o.outputs {
		id := graph.None
		if name != "" {
			id = graph.ValueID(len(s.g.Values))
			if err := b.define(s, n.at, n.label(), s.declared(name)); err != nil {
				return err
			}
		}
		node.Outputs = append(node.Outputs, id)
	}
	node.Inputs, node.Outputs = trim(node.Inputs), trim(node.Outputs)
	if len(node.Outputs) == 0 {
		return b.fail(n.at, n.label(), cureExport, "a node without outputs")
	}
	s.g.Nodes = append(s.g.Nodes, node)
	return nil
}

// declared makes a value with the type that the file declares for it.
func (s *scope) declared(name string) graph.Value {
	v := graph.Value{Name: name}
	if p := s.types[name]; p != nil && p.tensor {
		return p.value()
	}
	return v
}

// trim drops absent values at the end of a list: leaving them out means the same.
func trim(ids []graph.ValueID) []graph.ValueID {
	for len(ids) > 0 && ids[len(ids)-1] == graph.None {
		ids = ids[:len(ids)-1]
	}
	return ids
}

func (b *builder) attr(n *protoNode, a *protoAttr, o *operation, h *hollow, s *scope) (graph.Attr, error) {
	out := graph.Attr{Kind: a.kind}
	ok := a.ref == "" // outside functions an attribute cannot refer to a function's
	if !ok {
		o = &operation{}
	}
	switch v := o.attrs[a.name].(type) {
	case float32:
		out.F, ok = v, a.kind == graph.AttrFloat
	case string:
		out.S, ok = v, a.kind == graph.AttrString
	case []float32:
		out.Floats, ok = v, a.kind == graph.AttrFloats
	case []int64:
		out.Ints, ok = v, a.kind == graph.AttrInts
	case []string:
		out.Strings, ok = v, a.kind == graph.AttrStrings
	case int64:
		if a.kind == graph.AttrInt {
			out.I = v
			break
		}
		if v < 0 || v >= int64(len(h.lifted)) || h.lifted[v] != a {
			ok = false
			break
		}
		return b.lifted(n, a, s)
	default:
		ok = false
	}
	if !ok {
		return out, b.fail(a.at, n.label(), cureExport, "attribute %s has no usable value", quote(a.name))
	}
	return out, nil
}

// lifted converts an attribute that the hollow model held as a number.
func (b *builder) lifted(n *protoNode, a *protoAttr, s *scope) (graph.Attr, error) {
	if a.kind == graph.AttrTensor {
		t, err := b.load(a.tensor, fmt.Sprintf("attribute %s of %s", quote(a.name), n.label()))
		return graph.Attr{Kind: a.kind, T: t}, err
	}
	if a.kind == graph.AttrType {
		v := a.typ.value()
		return graph.Attr{Kind: a.kind, Type: &v}, nil
	}
	g, err := b.build(a.graph, s)
	return graph.Attr{Kind: a.kind, G: g}, err
}

// constantNode enters the value of a Constant node.
func (b *builder) constantNode(n *protoNode, s *scope) error {
	if len(n.attrs) != 1 || len(n.outputs) != 1 || len(n.inputs) != 0 {
		return b.fail(n.at, n.label(), cureExport, "a Constant has one attribute, no input and one output")
	}
	a := &n.attrs[0]
	var t tensor.Tensor
	switch {
	case a.ref != "":
		return b.fail(a.at, n.label(), cureExport, "attribute %s has no usable value", quote(a.name))
	case a.name == "value" && a.kind == graph.AttrTensor:
		loaded, err := b.load(a.tensor, "tensor "+quote(n.outputs[0]))
		if err != nil {
			return err
		}
		t = *loaded
	case a.name == "value_float" && a.kind == graph.AttrFloat:
		t = tensor.FromF32([]float32{a.f})
	case a.name == "value_int" && a.kind == graph.AttrInt:
		t = tensor.FromI64([]int64{a.i})
	case a.name == "value_string" && a.kind == graph.AttrString:
		t = tensor.FromStrings([]string{a.s})
	case a.name == "value_floats" && a.kind == graph.AttrFloats:
		t = tensor.FromF32(a.floats, len(a.floats))
	case a.name == "value_ints" && a.kind == graph.AttrInts:
		t = tensor.FromI64(a.ints, len(a.ints))
	case a.name == "value_strings" && a.kind == graph.AttrStrings:
		t = tensor.FromStrings(a.strings, len(a.strings))
	default:
		return b.fail(a.at, n.label(), cureExport, "a Constant with attribute %s of type %v", quote(a.name), a.kind)
	}
	return b.define(s, n.at, n.label(), constant(n.outputs[0], &t))
}
