package lora

import (
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Kind says what a module computes.
type Kind string

// Kinds of modules that take an adapter.
const (
	Linear Kind = "linear"
	Conv   Kind = "conv"
)

// Module is one layer of a network that can be adapted.
type Module struct {
	Name    string `json:"name"` // as torch's named_modules() calls it
	Kind    Kind   `json:"kind"`
	In      int    `json:"in"`               // input features or channels
	Out     int    `json:"out"`              // output features or channels
	Kernel  []int  `json:"kernel,omitempty"` // spatial size of a convolution
	Groups  int    `json:"groups,omitempty"` // of a convolution, when not 1; such a module cannot be adapted
	element tensor.DType
	nodes   []int // places in Graph.Nodes where the module is called, ascending
}

// found is one call of a module.
type found struct {
	Module
	module, weight string
	constant       graph.ValueID
}

// List returns the modules of a network in the order of their first call: MatMul and Gemm with a constant matrix, and
// Conv with constant weights. Calls whose name the file does not say are left out.
func List(g *graph.Graph) []Module {
	modules, _ := survey(g)
	return modules
}

// survey is List, and counts the calls without a name.
func survey(g *graph.Graph) (modules []Module, nameless int) {
	c := newConstants(g)
	var calls []found
	for i := range g.Nodes {
		f, ok := c.call(&g.Nodes[i])
		if !ok {
			continue
		}
		f.nodes = []int{i}
		if f.module == "" {
			nameless++
			continue
		}
		calls = append(calls, f)
	}
	unwrap(calls)
	place := map[string]int{}
	for _, f := range calls {
		name := f.module
		if first := firstCall(calls, f); first != "" {
			name = first
		}
		at, known := place[name]
		if known && modules[at].same(f.Module) {
			modules[at].nodes = append(modules[at].nodes, f.nodes...)
			continue
		}
		f.Name = name
		place[name] = len(modules)
		modules = append(modules, f.Module)
	}
	return modules, nameless
}

func (m *Module) same(o Module) bool {
	return m.Kind == o.Kind && m.In == o.In && m.Out == o.Out && m.Groups == o.Groups && slices.Equal(m.Kernel, o.Kernel)
}

// firstCall finds the module that f calls again: same weights, and a path that is the other's with a number behind.
func firstCall(calls []found, f found) string {
	if cut := strings.LastIndexByte(f.module, '_'); cut < 0 || !repeat.MatchString(f.module[cut:]) {
		return ""
	}
	for _, o := range calls {
		if o.constant == f.constant && o.module != f.module && again(f.module, o.module) {
			return o.module
		}
	}
	return ""
}

// constants follows values back to the constants that they are copies of.
type constants struct {
	g        *graph.Graph
	producer map[graph.ValueID]*graph.Node
	names    []string // of all constants, sorted
}

func newConstants(g *graph.Graph) *constants {
	c := &constants{g: g, producer: map[graph.ValueID]*graph.Node{}}
	for i := range g.Nodes {
		for _, id := range g.Nodes[i].Outputs {
			c.producer[id] = &g.Nodes[i]
		}
	}
	for i := range g.Values {
		if g.Values[i].Const != nil {
			c.names = append(c.names, g.Values[i].Name)
		}
	}
	slices.Sort(c.names)
	return c
}

// origin is a constant and what the file does to it on the way to a product.
type origin struct {
	id      graph.ValueID
	shape   []int
	element tensor.DType // after conversions
}

// trace follows Identity, Cast and the Transpose of a matrix back to a constant.
func (c *constants) trace(id graph.ValueID) (origin, bool) {
	if id == graph.None {
		return origin{}, false
	}
	if v := c.g.Value(id); v.Const != nil {
		return origin{id, v.Const.Shape, v.Const.DType}, true
	}
	n := c.producer[id]
	if n == nil || !standard(n) || len(n.Inputs) != 1 {
		return origin{}, false
	}
	switch n.Op {
	case "Identity", "Cast", "Transpose":
	default:
		return origin{}, false
	}
	o, ok := c.trace(n.Inputs[0])
	switch {
	case !ok:
	case n.Op == "Cast":
		o.element = tensor.FromONNX(int32(n.Attrs["to"].I))
	case n.Op == "Transpose":
		perm, given := n.Attrs["perm"]
		ok = len(o.shape) == 2
		if ok && (!given || slices.Equal(perm.Ints, []int64{1, 0})) {
			o.shape = []int{o.shape[1], o.shape[0]}
		}
	}
	return o, ok
}

func standard(n *graph.Node) bool { return n.Domain == "" || n.Domain == "ai.onnx" }

// call recognises the call of a module; nodes is left to the caller.
func (c *constants) call(n *graph.Node) (found, bool) {
	if !standard(n) || len(n.Inputs) < 2 || len(n.Outputs) != 1 || n.Outputs[0] == graph.None || n.Inputs[0] == graph.None {
		return found{}, false
	}
	if _, constant := c.trace(n.Inputs[0]); constant {
		return found{}, false
	}
	w, ok := c.trace(n.Inputs[1])
	if !ok || !w.element.IsFloat() {
		return found{}, false
	}
	f := found{constant: w.id, weight: c.g.Value(w.id).Name, Module: Module{element: w.element}}
	switch n.Op {
	case "MatMul", "Gemm":
		ok = f.linear(n, w.shape)
	case "Conv":
		ok = f.conv(n, w.shape)
	default:
		ok = false
	}
	if ok {
		f.module = c.moduleName(n, f.weight)
	}
	return f, ok
}

func (f *found) linear(n *graph.Node, shape []int) bool {
	if len(shape) != 2 || n.Attrs["transA"].I != 0 {
		return false
	}
	f.Kind, f.In, f.Out = Linear, shape[0], shape[1]
	if n.Attrs["transB"].I != 0 {
		f.In, f.Out = shape[1], shape[0]
	}
	return true
}

func (f *found) conv(n *graph.Node, shape []int) bool {
	if len(shape) < 3 {
		return false
	}
	f.Kind, f.In, f.Out, f.Kernel = Conv, shape[1], shape[0], shape[2:]
	if g := n.Attrs["group"]; g.Kind == graph.AttrInt && g.I != 1 {
		f.Groups = int(g.I)
		f.In *= f.Groups
	}
	return true
}
