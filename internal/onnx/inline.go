package onnx

import (
	"fmt"
	"strings"

	"winnow/internal/graph"
)

// inliner replaces calls of model-local functions by the functions' nodes, with unique names.
type inliner struct {
	src   *source
	funcs map[functionKey]*protoFunction
	bytes int             // of memory spent on copies so far, roughly
	names map[string]bool // every value name in use
	calls int             // numbers the calls, for unique prefixes
	stack []functionKey   // calls being expanded
}

// inlineFunctions rewrites the graph of m so that it calls no function, and gives every node its operator set version.
func inlineFunctions(src *source, m *protoModel) error {
	in := &inliner{src: src, funcs: m.functions, names: map[string]bool{}}
	if len(m.functions) > 0 {
		in.collect(m.graph)
	}
	return in.graph(m.graph, m.opsets)
}

// collect notes the names of the graph and of its subgraphs.
func (in *inliner) collect(g *protoGraph) {
	for _, t := range g.tensors {
		in.names[t.name] = true
	}
	for _, v := range g.inputs {
		in.names[v.name] = true
	}
	for _, n := range g.nodes {
		for _, name := range n.outputs {
			in.names[name] = true
		}
		for i := range n.attrs {
			if sub := n.attrs[i].graph; sub != nil {
				in.collect(sub)
			}
		}
	}
}

func (in *inliner) bad(n *protoNode, format string, args ...any) error {
	return &FileError{
		File: in.src.name, Offset: int64(n.at), Where: n.label(), What: fmt.Sprintf(format, args...), Cure: cureExport,
	}
}

// graph expands the calls among the nodes of g and below.
func (in *inliner) graph(g *protoGraph, opsets map[string]int) error {
	nodes, err := in.expandAll(g.nodes, opsets)
	g.nodes = nodes
	return err
}

func (in *inliner) expandAll(nodes []*protoNode, opsets map[string]int) ([]*protoNode, error) {
	out := make([]*protoNode, 0, len(nodes))
	for _, n := range nodes {
		if fn := in.funcs[functionKey{n.domain, n.op, n.overload}]; fn != nil {
			body, err := in.expand(n, fn)
			if err != nil {
				return nil, err
			}
			out = append(out, body...)
			continue
		}
		version, ok := opsets[n.domain]
		if n.domain == graph.MicrosoftDomain && !ok { // ONNX Runtime's optimiser forgets it, and ONNX Runtime does not mind
			version, ok = 1, true
		}
		if !ok {
			return nil, in.bad(n, "the model imports no operator set of domain %s and defines no such function", quote(n.domain))
		}
		n.opset = version
		for i := range n.attrs {
			if sub := n.attrs[i].graph; sub != nil {
				if err := in.graph(sub, opsets); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, n)
	}
	return out, nil
}

// expand returns the nodes that stand for a call.
func (in *inliner) expand(call *protoNode, fn *protoFunction) ([]*protoNode, error) {
	for _, k := range in.stack {
		if k == fn.key {
			return nil, in.bad(call, "%s calls itself", fn.label())
		}
	}
	if len(in.stack) == maxDepth {
		return nil, in.bad(call, "functions nest deeper than %d", maxDepth)
	}
	if len(call.inputs) > len(fn.inputs) || len(call.outputs) > len(fn.outputs) {
		return nil, in.bad(call, "%d inputs and %d outputs do not fit %s with %d and %d",
			len(call.inputs), len(call.outputs), fn.label(), len(fn.inputs), len(fn.outputs))
	}
	c := in.newCall(call, fn)
	nodes := make([]*protoNode, 0, len(fn.nodes))
	for _, n := range fn.nodes {
		copied, err := c.node(n)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, copied)
	}
	nodes = append(nodes, c.passed()...)
	in.stack = append(in.stack, fn.key)
	defer func() { in.stack = in.stack[:len(in.stack)-1] }()
	return in.expandAll(nodes, fn.opsets)
}

// call holds the bindings of one expansion.
type call struct {
	in     *inliner
	site   *protoNode // the calling node
	fn     *protoFunction
	prefix string
	names  map[string]string // of the function's values in the caller
	attrs  map[string]protoAttr
}

func (in *inliner) newCall(n *protoNode, fn *protoFunction) *call {
	c := &call{in: in, site: n, fn: fn, names: map[string]string{"": ""}, attrs: map[string]protoAttr{}}
	in.calls++
	c.prefix = fmt.Sprintf("%s#%d/", strings.TrimSuffix(n.name, "/"), in.calls)
	for i, name := range fn.inputs {
		c.names[name] = ""
		if i < len(n.inputs) {
			c.names[name] = n.inputs[i]
		}
	}
	for i, name := range fn.outputs {
		if _, taken := c.names[name]; !taken && i < len(n.outputs) && n.outputs[i] != "" {
			c.names[name] = n.outputs[i]
		}
	}
	for _, a := range fn.defaults {
		c.attrs[a.name] = a
	}
	for _, a := range n.attrs {
		c.attrs[a.name] = a
	}
	return c
}

// rename returns the caller's name for a name of the function.
func (c *call) rename(name string) string {
	if to, ok := c.names[name]; ok {
		return to
	}
	to := c.prefix + name
	for c.in.names[to] {
		to += "'"
	}
	c.in.names[to] = true
	c.names[name] = to
	return to
}

func (c *call) renameAll(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = c.rename(name)
	}
	return out
}

// charge accounts for memory spent on copies: functions that call functions can otherwise multiply without bound.
func (c *call) charge(bytes int) error {
	if c.in.bytes += bytes; c.in.bytes > maxExpansion {
		return c.in.bad(c.site, "functions expand to more than this reader allows")
	}
	return nil
}

// node copies a node of the function's body, or of a subgraph in it, into the caller.
func (c *call) node(n *protoNode) (*protoNode, error) {
	if err := c.charge(256 + (len(n.inputs)+len(n.outputs)+1)*(len(c.prefix)+64) + 128*len(n.attrs)); err != nil {
		return nil, err
	}
	out := *n
	out.name = c.prefix + n.name
	out.inputs = c.renameAll(n.inputs)
	out.outputs = c.renameAll(n.outputs)
	out.index, out.at = c.site.index, c.site.at
	if out.scope == "" {
		out.scope = c.site.scope
	}
	out.attrs = make([]protoAttr, 0, len(n.attrs))
	for _, a := range n.attrs {
		if a.ref != "" {
			given, ok := c.attrs[a.ref]
			if !ok {
				continue // neither given nor defaulted: absent
			}
			given.name = a.name
			a = given
		} else if a.graph != nil {
			sub, err := c.graph(a.graph)
			if err != nil {
				return nil, err
			}
			a.graph = sub
		}
		out.attrs = append(out.attrs, a)
	}
	return &out, nil
}

// graph copies a subgraph of the function's body.
func (c *call) graph(g *protoGraph) (*protoGraph, error) {
	values := len(g.inputs) + len(g.outputs) + len(g.infos) + 2*len(g.tensors)
	if err := c.charge(256 + values*(len(c.prefix)+128)); err != nil {
		return nil, err
	}
	out := *g
	out.nodes = make([]*protoNode, 0, len(g.nodes))
	for _, n := range g.nodes {
		copied, err := c.node(n)
		if err != nil {
			return nil, err
		}
		out.nodes = append(out.nodes, copied)
	}
	renamed := func(vs []protoValue) []protoValue {
		vs = append([]protoValue(nil), vs...)
		for i := range vs {
			vs[i].name = c.rename(vs[i].name)
		}
		return vs
	}
	out.inputs, out.outputs, out.infos = renamed(g.inputs), renamed(g.outputs), renamed(g.infos)
	out.tensors = make([]*protoTensor, len(g.tensors))
	for i, t := range g.tensors {
		copied := *t
		copied.name = c.rename(t.name)
		out.tensors[i] = &copied
	}
	return &out, nil
}

// passed returns Identity nodes for outputs that are inputs of the function, or other outputs, under another name.
func (c *call) passed() []*protoNode {
	var nodes []*protoNode
	for i, name := range c.fn.outputs {
		if i >= len(c.site.outputs) || c.site.outputs[i] == "" || c.names[name] == c.site.outputs[i] {
			continue
		}
		nodes = append(nodes, &protoNode{
			name: c.prefix + "output", op: "Identity", inputs: []string{c.rename(name)}, outputs: []string{c.site.outputs[i]},
			attrs: []protoAttr{}, scope: c.site.scope, index: c.site.index, at: c.site.at,
		})
	}
	return nodes
}
