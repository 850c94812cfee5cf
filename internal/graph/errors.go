package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// UnsupportedError says that the embedded executor cannot run a node. It is returned by Compile, never by Run.
type UnsupportedError struct {
	Source string // file
	Node   string // node label, see Node.Label
	Op     string
	Domain string
	Opset  int
	Attr   string // attribute at fault, "" if it is the operator itself
	Why    string
}

// Error names file, node, operator, opset and attribute.
func (e *UnsupportedError) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source + ": ")
	}
	b.WriteString(e.Node + ": ")
	fmt.Fprintf(&b, "operator %s (%s opset %d)", e.Op, domainName(e.Domain), e.Opset)
	if e.Attr != "" {
		fmt.Fprintf(&b, ", attribute %q", e.Attr)
	}
	b.WriteString(": " + e.Why)
	return b.String()
}

// ShapeError says that an input of a node, or an input of the whole graph, has a type or shape that does not fit.
type ShapeError struct {
	Source string
	Node   string // node label, "" for inputs of the graph
	Op     string
	Input  string // input at fault: its number or name, "" if several together
	Why    string
}

// Error names file, node and input.
func (e *ShapeError) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source + ": ")
	}
	if e.Node != "" {
		b.WriteString(e.Node + ": ")
	}
	if e.Input != "" {
		b.WriteString("input " + e.Input + ": ")
	}
	b.WriteString(e.Why)
	return b.String()
}

// RunError says at which node a run failed and why.
type RunError struct {
	Source string
	Node   string
	Err    error
}

// Error names file and node.
func (e *RunError) Error() string {
	if e.Source == "" {
		return e.Node + ": " + e.Err.Error()
	}
	return e.Source + ": " + e.Node + ": " + e.Err.Error()
}

// Unwrap gives the kernel's error.
func (e *RunError) Unwrap() error { return e.Err }

// Refuse returns the typed error for a variant of an operator that is not implemented. attr may be "".
func (c *NodeCtx) Refuse(attr, why string) error { return unsupported(c.graph, c.Node, attr, why) }

// ShapeErrorf returns the typed error for an input whose type or shape does not fit; input -1 means several together.
func (c *NodeCtx) ShapeErrorf(input int, format string, args ...any) error {
	e := &ShapeError{Node: c.Node.Label(), Op: c.Node.Op, Why: fmt.Sprintf(format, args...)}
	if c.graph != nil {
		e.Source = c.graph.Source
	}
	if input >= 0 {
		e.Input = strconv.Itoa(input)
	}
	return e
}

func unsupported(g *Graph, n *Node, attr, why string) error {
	e := &UnsupportedError{
		Node: n.Label(), Op: n.Op, Domain: canonicalDomain(n.Domain), Opset: n.Opset, Attr: attr, Why: why,
	}
	if g != nil {
		e.Source = g.Source
	}
	return e
}

func domainName(d string) string {
	if d == "" {
		return "ai.onnx"
	}
	return d
}

// shapeString prints a shape as "[2,3]".
func shapeString(shape []int) string {
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = strconv.Itoa(d)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// NaNError says which value became NaN first (inside a RunError that names the node).
type NaNError struct {
	Value  string // name of the value
	Weight string // constant operand that already holds a NaN, "" if none does
}

// Error names the value and, if it is to blame, the weight.
func (e *NaNError) Error() string {
	if e.Weight != "" {
		return fmt.Sprintf("value %q is NaN because the weight %q holds NaN; the file is damaged or was exported from a "+
			"diverged model", e.Value, e.Weight)
	}
	return fmt.Sprintf("value %q is the first that holds NaN", e.Value)
}
