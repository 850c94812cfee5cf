package ort

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"winnow/internal/graph"
)

// The forms in which ONNX Runtime names a node.
var nodeForms = []*regexp.Regexp{
	regexp.MustCompile(`In Node, \("([^"]*)"`),
	regexp.MustCompile(`Node ?\(([^)]*)\) Op \(`),
	regexp.MustCompile(`in node \(([^)]*)\)`),
	regexp.MustCompile(`node with name '([^']*)'`),
	regexp.MustCompile(`Name:'([^']*)'`),
	regexp.MustCompile(`[Nn]ode:? ?'?"?([^\s'"]+)`),
}

// The forms in which ONNX Runtime names an operator.
var opForms = []*regexp.Regexp{
	regexp.MustCompile(`In Node, \("[^"]*", ([\w.]+)`),
	regexp.MustCompile(`Op \(([\w.]+)\)`),
	regexp.MustCompile(`of operator \(([\w.]+)\)`),
	regexp.MustCompile(`of Optype \(([\w.]+)\)`),
	regexp.MustCompile(`(?:implementation|kernel) for ([\w.]+)\(`),
	regexp.MustCompile(`running (\w+) node`),
	regexp.MustCompile(`([\w.]+:?\w*)\(-?\d+\) is not a registered function/op`),
	regexp.MustCompile(`No Op registered for (\w+)`),
}

// shapeWords tell that a message is about types or shapes, and unsupportedWords that something is missing.
var (
	shapeWords       = []string{"ShapeInferenceError", "TypeInferenceError", "Type Error", "Mismatch", "mismatch", "Incompatible dimensions"}
	unsupportedWords = []string{
		"not implemented", "NOT_IMPLEMENTED", "Could not find an implementation", "not a registered", "No Op registered",
		"Unrecognized attribute", "not supported", "is under development", "Opset",
	}
)

func containsAny(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func firstMatch(forms []*regexp.Regexp, text string) string {
	for _, f := range forms {
		if m := f.FindStringSubmatch(text); m != nil && m[1] != "" {
			return m[1]
		}
	}
	return ""
}

// blamed finds the node that a message names: by name, else as the first of its operator, else as the only one there is.
// ONNX Runtime takes operators apart that are defined by others, so that it may name one that the graph does not have; that
// becomes a node without a place. ok is false when nothing is named.
func blamed(g *graph.Graph, message string) (n *graph.Node, ok bool) {
	name, op := firstMatch(nodeForms, message), firstMatch(opForms, message)
	domain := ""
	if i := strings.LastIndexAny(op, ".:"); i >= 0 { // "com.microsoft:Gelu"
		domain, op = op[:i], op[i+1:]
	}
	base := name // onnx.Write puts a number behind names that several nodes have
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		base = name[:i]
	}
	named := func(n graph.Node) bool {
		return name != "" && (n.Name == name || n.Name == base) && (op == "" || n.Op == op)
	}
	same := func(n graph.Node) bool { return op != "" && n.Op == op }
	for _, is := range []func(graph.Node) bool{named, same} {
		if i := slices.IndexFunc(g.Nodes, is); i >= 0 {
			return &g.Nodes[i], true
		}
	}
	switch {
	case op != "":
		return &graph.Node{Op: op, Domain: domain, Opset: g.Opsets[domain], Index: -1}, true
	case len(g.Nodes) == 1:
		return &g.Nodes[0], true
	}
	return nil, false
}

// compileFailure turns what ONNX Runtime says about a model into the errors that graph.Executor promises.
func compileFailure(g *graph.Graph, err error) error {
	var status *Error
	if !errors.As(err, &status) {
		return err
	}
	n, found := blamed(g, status.Message)
	label, op, domain, opset := "the graph", "", "", 0
	if found {
		label, op, domain, opset = n.Label(), n.Op, n.Domain, n.Opset
	}
	switch unsupported := containsAny(status.Message, unsupportedWords); {
	case containsAny(status.Message, shapeWords) && !unsupported:
		return &graph.ShapeError{Source: g.Source, Node: label, Op: op, Why: status.Error()}
	case unsupported, status.Code == codeNotImplement, status.Code == codeInvalidGraph:
		return &graph.UnsupportedError{Source: g.Source, Node: label, Op: op, Domain: domain, Opset: opset, Why: status.Error()}
	}
	return fmt.Errorf("%s: %w", g.Source, err)
}

// runFailure names the node at which a run failed.
func runFailure(g *graph.Graph, err error) error {
	var status *Error
	if !errors.As(err, &status) {
		return err
	}
	label := "the graph"
	if n, ok := blamed(g, status.Message); ok {
		label = n.Label()
	}
	return &graph.RunError{Source: g.Source, Node: label, Err: err}
}
