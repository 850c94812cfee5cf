package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

// Builder makes graphs by hand, for tests and rewrites. It keeps the first error and returns it from Build, so that
// calls can be chained without checks.
type Builder struct {
	g   Graph
	err error
}

// DefaultOpset is the version of the standard domain that a Builder gives its nodes unless Opset changes it.
const DefaultOpset = 17

// NewBuilder starts a graph.
func NewBuilder(name string) *Builder {
	return &Builder{g: Graph{
		Name: name, Metadata: map[string]string{},
		Opsets: map[string]int{"": DefaultOpset, Domain: 1},
	}}
}

// Opset sets the version of a domain for the nodes that follow.
func (b *Builder) Opset(domain string, version int) *Builder {
	b.g.Opsets[canonicalDomain(domain)] = version
	return b
}

// Source sets the file name that messages show.
func (b *Builder) Source(file string) *Builder {
	b.g.Source = file
	return b
}

// Input declares an input. A dimension of -1 is free.
func (b *Builder) Input(name string, dt tensor.DType, shape ...int) ValueID {
	dims := make([]Dim, len(shape))
	for i, s := range shape {
		dims[i] = Dim{Size: s}
	}
	return b.InputDims(name, dt, dims...)
}

// InputDims declares an input with symbolic dimensions.
func (b *Builder) InputDims(name string, dt tensor.DType, dims ...Dim) ValueID {
	id := b.value(Value{Name: name, DType: dt, Dims: dims})
	b.g.Inputs = append(b.g.Inputs, id)
	return id
}

// Const adds an initializer; the tensor's data is aliased, not copied.
func (b *Builder) Const(t tensor.Tensor) ValueID {
	dims := make([]Dim, len(t.Shape))
	for i, s := range t.Shape {
		dims[i] = Dim{Size: s}
	}
	return b.value(Value{Name: fmt.Sprintf("const_%d", len(b.g.Values)), DType: t.DType, Dims: dims, Const: &t})
}

// Op adds a node of the standard domain with one output and no attributes.
func (b *Builder) Op(op string, inputs ...ValueID) ValueID {
	return b.OpN(op, nil, 1, inputs...)[0]
}

// OpA is Op with attributes.
func (b *Builder) OpA(op string, attrs map[string]Attr, inputs ...ValueID) ValueID {
	return b.OpN(op, attrs, 1, inputs...)[0]
}

// OpN adds a node with n outputs. An operator of another domain is written "domain.Op", for example "winnow.Silu".
func (b *Builder) OpN(op string, attrs map[string]Attr, n int, inputs ...ValueID) []ValueID {
	domain, name := splitOp(op)
	for i, in := range inputs {
		if in != None && (in < 0 || int(in) >= len(b.g.Values)) {
			b.fail(fmt.Errorf("graph %q: input %d of %s is no value of this graph", b.g.Name, i, op))
		}
	}
	outs := make([]ValueID, n)
	for i := range outs {
		outs[i] = b.value(Value{Name: fmt.Sprintf("%s_%d", name, len(b.g.Values))})
	}
	b.g.Nodes = append(b.g.Nodes, Node{
		Name: fmt.Sprintf("%s_%d", name, len(b.g.Nodes)), Op: name, Domain: domain, Opset: b.g.Opsets[domain],
		Inputs: inputs, Outputs: outs, Attrs: attrs, Index: len(b.g.Nodes),
	})
	return outs
}

// Output marks a value as an output under the given name.
func (b *Builder) Output(name string, id ValueID) {
	if id < 0 || int(id) >= len(b.g.Values) {
		b.fail(fmt.Errorf("graph %q: output %q is no value of this graph", b.g.Name, name))
		return
	}
	b.g.Values[id].Name = name
	b.g.Outputs = append(b.g.Outputs, id)
}

// Build returns the graph, or the first error of the calls before.
func (b *Builder) Build() (*Graph, error) {
	if b.err != nil {
		return nil, b.err
	}
	g := b.g
	return &g, nil
}

func (b *Builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *Builder) value(v Value) ValueID {
	b.g.Values = append(b.g.Values, v)
	return ValueID(len(b.g.Values) - 1)
}

// splitOp separates "winnow.Silu" or "com.microsoft.Gelu" at the last dot.
func splitOp(op string) (domain, name string) {
	for i := len(op) - 1; i >= 0; i-- {
		if op[i] == '.' {
			return op[:i], op[i+1:]
		}
	}
	return "", op
}
