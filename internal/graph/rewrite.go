package graph

import (
	"maps"
	"slices"
)

// spec describes the node that a rewrite puts in place of another.
type spec struct {
	op     string // "winnow.Silu", "Reshape"
	opset  int    // 0: 1 for Winnow's domain, the graph's opset otherwise
	attrs  map[string]Attr
	inputs []ValueID
}

// node makes a detached node for a spec: no outputs yet. name and scope come from the node it stands for, so that
// messages still lead to the file.
func (p *ir) node(like *irNode, s spec) (*irNode, error) {
	domain, name := splitOp(s.op)
	opset := s.opset
	if opset == 0 {
		opset = p.opsetOf(like, domain)
	}
	n := &irNode{back: like.back, Node: Node{
		Name: like.Name, Op: name, Domain: domain, Opset: opset, Scope: like.Scope,
		Inputs: trimAbsent(s.inputs), Attrs: s.attrs, Index: like.Index,
	}}
	op, err := lookup(p.src, &n.Node)
	n.op = op
	return n, err
}

// opsetOf chooses the opset of a node made by a rewrite.
func (p *ir) opsetOf(like *irNode, domain string) int {
	switch {
	case domain == Domain:
		return 1
	case canonicalDomain(like.Domain) == domain:
		return like.Opset
	case p.src.Opsets[domain] > 0:
		return p.src.Opsets[domain]
	}
	return DefaultOpset
}

func trimAbsent(in []ValueID) []ValueID {
	for len(in) > 0 && in[len(in)-1] == None {
		in = in[:len(in)-1]
	}
	return in
}

// replace puts a new node in place of root, writing root's first output; the type must come out the same, otherwise
// nothing changes and false is returned. Producers that lose their last reader go.
func (p *ir) replace(root *irNode, s spec) bool {
	n, err := p.node(root, s)
	if err != nil {
		return false
	}
	n.Outputs = root.Outputs[:1:1]
	types, err := p.infer(n)
	if err != nil || len(types) != 1 || !types[0].Equal(p.val(n.Outputs[0]).typ) {
		return false
	}
	old := *root
	*root = *n
	p.use(root.Inputs, 1)
	p.use(old.Inputs, -1)
	p.collect(old.Inputs)
	return true
}

// insertBefore adds a new node with one output ahead of another and returns the output; ok is false if the operator
// does not take these inputs.
func (p *ir) insertBefore(at *irNode, s spec) (ValueID, bool) {
	n, err := p.node(at, s)
	if err != nil {
		return None, false
	}
	n.Outputs = []ValueID{None} // operators check the number of outputs
	types, err := p.infer(n)
	if err != nil || len(types) != 1 {
		return None, false
	}
	out := p.addValue(irValue{name: p.val(at.Outputs[0]).name + "/" + n.Op, typ: types[0], def: n, input: -1})
	n.Outputs = []ValueID{out}
	pos := slices.Index(p.nodes, at)
	p.nodes = slices.Insert(p.nodes, pos, n)
	p.use(n.Inputs, 1)
	return out, true
}

// alias makes every reader of a node's first output read another value instead and removes the node.
func (p *ir) alias(n *irNode, to ValueID) {
	from := n.Outputs[0]
	for _, m := range p.nodes {
		if m.dead || !slices.Contains(m.Inputs, from) {
			continue
		}
		m.Inputs = slices.Clone(m.Inputs)
		for i, in := range m.Inputs {
			if in == from {
				m.Inputs[i] = to
			}
		}
	}
	for i := range p.outputs {
		if p.outputs[i].value == from {
			p.outputs[i].value = to
		}
	}
	p.vals[to].uses += p.vals[from].uses
	p.vals[from].uses = 0
	p.kill(n)
}

// withAttr copies attributes and sets one.
func withAttr(attrs map[string]Attr, name string, a Attr) map[string]Attr {
	out := maps.Clone(attrs)
	if out == nil {
		out = map[string]Attr{}
	}
	out[name] = a
	return out
}
