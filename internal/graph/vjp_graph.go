package graph

import (
	"fmt"
	"strings"

	"winnow/internal/tensor"
)

// VJP returns a graph of static shapes that computes g and its vector-Jacobian product in ordinary ONNX operators, so
// that any executor can run it. It has the inputs of g and, for every differentiated output o, an input "cotangent/o" of
// the output's type; its outputs are those of g and, for every wanted input i, "gradient/i" of the input's type:
// Σ_o cotangent_oᵀ·∂o/∂i. Weights alias those of g. Errors are those of Compile, and an *UnsupportedError when an operator
// between a wanted input and an output has no gradient.
func VJP(g *Graph, inputs map[string]Type, spec GradientSpec) (*Graph, error) {
	p, err := plainVJP(g, inputs, spec)
	if err != nil {
		return nil, err
	}
	x := newExporter(p)
	for _, in := range p.inputs {
		x.input(in)
	}
	for _, n := range p.nodes {
		x.node(n)
	}
	for _, o := range p.outputs {
		x.output(o.name, o.value)
	}
	return x.g, nil
}

// SplitVJP is VJP as two graphs. forward has the inputs and outputs of g, and further outputs for the values that the
// reverse pass reads. reverse has inputs of the same names for whatever it reads of forward's inputs and outputs, a
// "cotangent/o" for every differentiated output, and one output for every wanted input, under the input's name.
func SplitVJP(g *Graph, inputs map[string]Type, spec GradientSpec) (forward, reverse *Graph, err error) {
	p, err := plainVJP(g, inputs, spec)
	if err != nil {
		return nil, nil, err
	}
	f, r := newExporter(p), newExporter(p)
	for _, in := range p.inputs {
		if !in.back {
			f.input(in)
		}
	}
	for _, n := range p.nodes {
		if !n.back {
			f.node(n)
		}
	}
	for _, o := range p.outputs {
		if !o.back {
			f.output(o.name, o.value)
		}
	}
	for _, in := range p.inputs {
		if in.back {
			r.input(in)
		}
	}
	r.outer = f
	for _, n := range p.nodes {
		if n.back {
			r.node(n)
		}
	}
	for _, o := range p.outputs {
		if o.back {
			r.output(strings.TrimPrefix(o.name, gradientPrefix), o.value)
		}
	}
	return f.g, r.g, nil
}

// plainVJP specialises and differentiates without operators of Winnow's own.
func plainVJP(g *Graph, inputs map[string]Type, spec GradientSpec) (*ir, error) {
	p, _, err := specialize(g, inputs, (*Options)(nil).complete())
	if err != nil {
		return nil, err
	}
	if err := p.differentiate(spec, false); err != nil {
		return nil, err
	}
	p.recompute(spec.Checkpoint)
	p.sweep()
	return p, nil
}

// exporter writes a specialised graph as a Graph.
type exporter struct {
	p     *ir
	g     *Graph
	ids   map[ValueID]ValueID // of p → of g
	names map[string]bool
	nodes map[string]int // nodes by name: several of ours may stand for one of the file
	outer *exporter      // where values come from that no node here produces
}

func newExporter(p *ir) *exporter {
	x := &exporter{p: p, ids: map[ValueID]ValueID{}, names: map[string]bool{}, nodes: map[string]int{}}
	x.g = &Graph{Name: p.src.Name, Source: p.src.Source, Metadata: p.src.Metadata, Opsets: map[string]int{}}
	for d, v := range p.src.Opsets {
		x.g.Opsets[canonicalDomain(d)] = v
	}
	// The names of the border belong to it alone.
	for _, ports := range [][]irPort{p.inputs, p.outputs} {
		for _, port := range ports {
			x.names[port.name] = true
			x.names[strings.TrimPrefix(port.name, gradientPrefix)] = true
		}
	}
	return x
}

// unique makes a name that no other value of the graph has.
func (x *exporter) unique(name string) string {
	if name == "" {
		name = "value"
	}
	base := name
	for i := 1; x.names[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, len(x.g.Values)+i)
	}
	x.names[name] = true
	return name
}

func (x *exporter) add(name string, t Type, konst *tensor.Tensor) ValueID {
	v := Value{Name: name, DType: t.DType, Dims: make([]Dim, len(t.Shape)), Const: konst}
	for i, d := range t.Shape {
		v.Dims[i] = Dim{Size: d}
	}
	x.g.Values = append(x.g.Values, v)
	return ValueID(len(x.g.Values) - 1)
}

func (x *exporter) input(port irPort) {
	id := x.add(port.name, x.p.val(port.value).typ, nil)
	x.g.Inputs = append(x.g.Inputs, id)
	x.ids[port.value] = id
}

// value returns what stands for a value that is read: a constant is entered on first use, and a value of the other graph
// becomes an input here and an output there.
func (x *exporter) value(id ValueID) ValueID {
	if id == None {
		return None
	}
	if to, ok := x.ids[id]; ok {
		return to
	}
	v := x.p.val(id)
	if v.konst != nil {
		x.ids[id] = x.constant(v)
		return x.ids[id]
	}
	src := x.outer.ids[id]
	x.outer.publish(src)
	to := x.add(x.outer.g.Values[src].Name, v.typ, nil)
	x.names[x.g.Values[to].Name] = true
	x.g.Inputs = append(x.g.Inputs, to)
	x.ids[id] = to
	return to
}

// publish makes a value that is neither input nor output an output.
func (x *exporter) publish(id ValueID) {
	for _, ids := range [][]ValueID{x.g.Inputs, x.g.Outputs} {
		for _, have := range ids {
			if have == id {
				return
			}
		}
	}
	x.g.Outputs = append(x.g.Outputs, id)
}

// constant enters a constant. The compiler holds some in another width than their type says: folded half-precision
// results as float32, and half-precision weights behind a Cast as they lie in the file.
func (x *exporter) constant(v *irValue) ValueID {
	t := *v.konst
	if t.DType == tensor.F32 && v.typ.DType != tensor.F32 {
		t = narrowed(t, v.typ)
	}
	id := x.add(x.unique(v.name), Type{t.DType, v.typ.Shape}, &t)
	t.Shape = v.typ.Shape
	if t.DType == v.typ.DType {
		return id
	}
	wide := x.add(x.unique(v.name), v.typ, nil)
	x.g.Nodes = append(x.g.Nodes, Node{
		Op: "Cast", Opset: x.opset(), Index: -1, Inputs: []ValueID{id}, Outputs: []ValueID{wide},
		Attrs: map[string]Attr{"to": IntAttr(int(v.typ.DType.ONNX()))},
	})
	return wide
}

func (x *exporter) opset() int {
	if v := x.g.Opsets[""]; v > 0 {
		return v
	}
	return DefaultOpset
}

// node copies a node.
func (x *exporter) node(n *irNode) {
	m := n.Node
	m.Name = x.nodeName(n.Name)
	m.Inputs, m.Outputs = make([]ValueID, len(n.Inputs)), make([]ValueID, len(n.Outputs))
	for i, id := range n.Inputs {
		m.Inputs[i] = x.value(id)
	}
	for i, id := range n.Outputs {
		if m.Outputs[i] = None; id == None || i > 0 && x.p.val(id).uses == 0 && !n.is("Split") { // none of Split's may be absent
			continue
		}
		m.Outputs[i] = x.add(x.unique(x.p.val(id).name), x.p.val(id).typ, nil)
		x.ids[id] = m.Outputs[i]
	}
	if d := canonicalDomain(m.Domain); x.g.Opsets[d] == 0 {
		x.g.Opsets[d] = m.Opset
	}
	x.g.Nodes = append(x.g.Nodes, m)
}

// nodeName makes a node's name unique, as ONNX Runtime asks for. Most nodes keep theirs.
func (x *exporter) nodeName(name string) string {
	if name == "" {
		return ""
	}
	for {
		k := x.nodes[name]
		if x.nodes[name]++; k == 0 {
			return name
		}
		name = fmt.Sprintf("%s#%d", name, k)
	}
}

// output declares an output. The value keeps its own name when it has readers besides, so the output is a copy of it.
func (x *exporter) output(name string, id ValueID) {
	from := x.value(id)
	to := x.add(name, x.p.val(id).typ, nil)
	x.g.Nodes = append(x.g.Nodes, Node{
		Op: "Identity", Opset: x.opset(), Index: -1, Inputs: []ValueID{from}, Outputs: []ValueID{to},
	})
	x.g.Outputs = append(x.g.Outputs, to)
}
