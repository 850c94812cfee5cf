package ort

import (
	"errors"
	"fmt"
	"regexp"
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
	regexp.MustCompile(`implementation for ([\w.]+)\(`),
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

// findNode looks a node up that a message names, by name and else as the first of its operator. ok is false when the
// message names none of the graph's.
func findNode(g *graph.Graph, message string) (n *graph.Node, ok bool) {
	name, op := firstMatch(nodeForms, message), firstMatch(opForms, message)
	if i := strings.LastIndexAny(op, ".:"); i >= 0 { // "com.microsoft:Gelu"
		op = op[i+1:]
	}
	base := name // onnx.Write puts a number behind names that several nodes have
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		base = name[:i]
	}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; name != "" && (n.Name == name || n.Name == base) && (op == "" || n.Op == op) {
			return n, true
		}
	}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; op != "" && n.Op == op {
			return n, true
		}
	}
	return nil, false
}

// compileFailure turns what ONNX Runtime says about a model into the errors that graph.Executor promises.
func compileFailure(g *graph.Graph, err error) error {
	var status *Error
	if !errors.As(err, &status) {
		return err
	}
	n, found := findNode(g, status.Message)
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
	if n, ok := findNode(g, status.Message); ok {
		label = n.Label()
	}
	return &graph.RunError{Source: g.Source, Node: label, Err: err}
}
