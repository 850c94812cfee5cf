package graph

// Expand returns a graph of static shapes that computes g with standard operators alone, in the operator sets that g imports,
// so that an executor without ONNX Runtime's own operators can run it. Shape arithmetic is folded; weights alias those of g.
// Errors are those of Compile.
func Expand(g *Graph, inputs map[string]Type) (*Graph, error) {
	p, _, err := specialize(g, inputs, (*Options)(nil).complete())
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
	delete(x.g.Opsets, MicrosoftDomain)
	return x.g, nil
}
