package graph

import (
	"fmt"
	"strings"

	"winnow/internal/tensor"
)

// ValueID is an index into Graph.Values.
type ValueID int32

// None stands for an absent optional input or an output that nobody reads.
const None ValueID = -1

// Dim is one declared dimension of a value: a size, or a symbol whose size the caller chooses.
type Dim struct {
	Size int    // -1: not fixed by the file
	Sym  string // symbolic name, "" if none
}

// String prints the size, the symbol, or "?".
func (d Dim) String() string {
	switch {
	case d.Size >= 0:
		return fmt.Sprint(d.Size)
	case d.Sym != "":
		return d.Sym
	}
	return "?"
}

// Value is one tensor of a graph, or a container of tensors: an input, an initializer or the output of a node.
type Value struct {
	Name      string
	DType     tensor.DType   // Invalid: not declared
	Dims      []Dim          // nil: rank unknown; empty: scalar
	Const     *tensor.Tensor // initializer; its Data may alias a mapped file
	Container Container      // of tensors that DType and Dims describe
}

// AttrKind tells which field of an Attr holds the value.
type AttrKind uint8

// Attribute kinds. The zero kind means "no such attribute".
const (
	AttrNone AttrKind = iota
	AttrInt
	AttrFloat
	AttrString
	AttrInts
	AttrFloats
	AttrStrings
	AttrTensor
	AttrGraph
	AttrType
)

var attrKindNames = [...]string{"none", "int", "float", "string", "ints", "floats", "strings", "tensor", "graph", "type"}

// String names the kind as ONNX does, in lower case.
func (k AttrKind) String() string {
	if int(k) < len(attrKindNames) {
		return attrKindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Attr is one attribute of a node. Only the field that Kind names is meaningful.
type Attr struct {
	Kind    AttrKind
	I       int64
	F       float32
	S       string
	Ints    []int64
	Floats  []float32
	Strings []string
	T       *tensor.Tensor
	G       *Graph
	Type    *Value // a type: the value has no name
}

// IntAttr returns an integer attribute.
func IntAttr(v int) Attr { return Attr{Kind: AttrInt, I: int64(v)} }

// FloatAttr returns a float attribute.
func FloatAttr(v float32) Attr { return Attr{Kind: AttrFloat, F: v} }

// StringAttr returns a string attribute.
func StringAttr(v string) Attr { return Attr{Kind: AttrString, S: v} }

// IntsAttr returns an attribute holding a list of integers.
func IntsAttr(v ...int) Attr {
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(x)
	}
	return Attr{Kind: AttrInts, Ints: ints}
}

// TensorAttr returns a tensor attribute.
func TensorAttr(t tensor.Tensor) Attr { return Attr{Kind: AttrTensor, T: &t} }

// GraphAttr returns a subgraph attribute.
func GraphAttr(g *Graph) Attr { return Attr{Kind: AttrGraph, G: g} }

// Node applies one operator. Opset is the version of Domain that the file imports.
type Node struct {
	Name, Op, Domain string
	Opset            int
	Scope            string // module path as the dynamo exporter records it (name_scopes), "" if unknown
	Inputs, Outputs  []ValueID
	Attrs            map[string]Attr
	Index            int // position in the file's node list; -1 for nodes made by rewrites
}

// Graph is a network: Values in any order, Nodes in execution order (every node after the producers of its inputs).
//
// A subgraph (an attribute of If) has its own Values. Those without producer, constant or input declaration are read
// from the enclosing graph by name, as ONNX prescribes.
type Graph struct {
	Name     string
	Source   string // file that the graph came from, for messages
	Values   []Value
	Nodes    []Node
	Inputs   []ValueID
	Outputs  []ValueID
	Metadata map[string]string
	Opsets   map[string]int // domain → imported version
}

// Value returns the value with the given identifier; id must not be None.
func (g *Graph) Value(id ValueID) *Value { return &g.Values[id] }

// Lookup finds a value by name. The scan is linear: build a map for repeated use.
func (g *Graph) Lookup(name string) (ValueID, bool) {
	for i := range g.Values {
		if g.Values[i].Name == name {
			return ValueID(i), true
		}
	}
	return None, false
}

// Label names a node for messages: file, operator and node name (or index in the file).
func (g *Graph) Label(n *Node) string {
	var b strings.Builder
	if g.Source != "" {
		b.WriteString(g.Source)
		b.WriteString(": ")
	}
	b.WriteString(n.Label())
	return b.String()
}

// Label names a node without its file, for example `node "/conv_in/Conv" (Conv)`.
func (n *Node) Label() string {
	op := n.Op
	if d := canonicalDomain(n.Domain); d != "" {
		op = d + "." + n.Op
	}
	switch {
	case n.Name != "":
		return fmt.Sprintf("node %q (%s)", n.Name, op)
	case n.Index >= 0:
		return fmt.Sprintf("node %d (%s)", n.Index, op)
	}
	return fmt.Sprintf("rewritten node (%s)", op)
}

// canonicalDomain maps the two spellings of the standard domain to "".
func canonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}
