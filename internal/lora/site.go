package lora

import (
	"fmt"
	"maps"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// editor collects what is put between the nodes of a graph.
type editor struct {
	src      *graph.Graph
	g        graph.Graph              // the copy: values are added at once, nodes by finish
	behind   map[int]*[]graph.Node    // by index of a node of src: what adapts it, ending in the node that writes its output
	ahead    map[int]*[]graph.Node    // what calls of modules share, after the node that it reads; -1: ahead of all nodes
	producer map[graph.ValueID]int    // node of src that makes a value
	top      map[int]graph.ValueID    // by adapted node: the sum so far
	calls    map[int]call             // for checkBatch
	scales   map[string]graph.ValueID // adapter → its input
	shared   map[sharedKey]graph.ValueID
}

// sharedKey says what a value that several calls read is.
type sharedKey struct {
	what   string
	factor float64
	a, b   graph.ValueID
}

// call is one adapted call of a module.
type call struct{ adapter, module string }

func newEditor(g *graph.Graph) *editor {
	e := &editor{
		src: g, g: *g, behind: map[int]*[]graph.Node{}, ahead: map[int]*[]graph.Node{}, producer: map[graph.ValueID]int{},
		top: map[int]graph.ValueID{}, calls: map[int]call{}, scales: map[string]graph.ValueID{}, shared: map[sharedKey]graph.ValueID{},
	}
	e.g.Values = slices.Clone(g.Values)
	e.g.Nodes = slices.Clone(g.Nodes)
	e.g.Inputs = slices.Clone(g.Inputs)
	for i := range g.Nodes {
		for _, id := range g.Nodes[i].Outputs {
			e.producer[id] = i
		}
	}
	return e
}

// finish puts the new nodes in their places.
func (e *editor) finish() *graph.Graph {
	nodes := slices.Clone(*list(e.ahead, -1))
	for i, n := range e.g.Nodes {
		nodes = append(nodes, n)
		if chain := *list(e.behind, i); len(chain) > 0 { // its last node takes the place of n for all readers
			chain[len(chain)-1].Outputs = e.src.Nodes[i].Outputs
			nodes = append(nodes, chain...)
		}
		nodes = append(nodes, *list(e.ahead, i)...)
	}
	g := e.g
	g.Nodes = nodes
	return &g
}

// list returns the list at a place, making it when there is none.
func list(m map[int]*[]graph.Node, at int) *[]graph.Node {
	if m[at] == nil {
		m[at] = &[]graph.Node{}
	}
	return m[at]
}

func (e *editor) value(v graph.Value) graph.ValueID {
	e.g.Values = append(e.g.Values, v)
	return graph.ValueID(len(e.g.Values) - 1)
}

func (e *editor) input(name string, dims ...graph.Dim) graph.ValueID {
	id := e.value(graph.Value{Name: name, DType: tensor.F32, Dims: dims})
	e.g.Inputs = append(e.g.Inputs, id)
	return id
}

// param returns a factor's input, which the calls of one module share.
func (e *editor) param(p Param) graph.ValueID {
	return e.once(sharedKey{what: p.Name}, func() graph.ValueID {
		dims := make([]graph.Dim, len(p.Shape))
		for i, n := range p.Shape {
			dims[i].Size = n
		}
		return e.input(p.Name, dims...)
	})
}

func (e *editor) scale(a *Adapter) {
	e.scales[a.Name] = e.input(ScaleName(a.Name), graph.Dim{Size: -1})
}

func (e *editor) once(key sharedKey, make func() graph.ValueID) graph.ValueID {
	if id, ok := e.shared[key]; ok {
		return id
	}
	id := make()
	e.shared[key] = id
	return id
}

// constant returns a constant; equal ones are one value.
func (e *editor) constant(name string, t tensor.Tensor) graph.ValueID {
	return e.once(sharedKey{what: "constant " + name}, func() graph.ValueID {
		dims := make([]graph.Dim, len(t.Shape))
		for i, n := range t.Shape {
			dims[i].Size = n
		}
		return e.value(graph.Value{Name: "lora/" + name, DType: t.DType, Dims: dims, Const: &t})
	})
}

func (e *editor) ints(v ...int64) graph.ValueID {
	return e.constant(fmt.Sprintf("ints%v", v), tensor.FromI64(v, len(v)))
}

// writer makes nodes of one purpose.
type writer struct {
	*editor
	at    int // node of src that the new nodes serve
	label string
	into  *[]graph.Node
	count map[string]int
}

// op adds a node with one output.
func (w *writer) op(op string, attrs map[string]graph.Attr, in ...graph.ValueID) graph.ValueID {
	n := &w.src.Nodes[w.at]
	name := w.label + "/" + op
	if w.count[op]++; w.count[op] > 1 {
		name += fmt.Sprintf("_%d", w.count[op])
	}
	out := w.value(graph.Value{Name: name + "_output_0"})
	*w.into = append(*w.into, graph.Node{
		Name: name, Op: op, Opset: w.opset(n), Scope: n.Scope, Inputs: in, Outputs: []graph.ValueID{out},
		Attrs: attrs, Index: -1,
	})
	return out
}

func (w *writer) opset(n *graph.Node) int {
	if v := w.src.Opsets[""]; v > 0 {
		return v
	}
	return n.Opset
}

// adapt adds an adapter's product to every call of a module.
func (e *editor) adapt(m *Module, l Layer) {
	for k, at := range m.nodes {
		label := "lora." + l.Adapter + "." + m.Name
		if k > 0 {
			label += fmt.Sprintf("/call_%d", k+1)
		}
		e.calls[at] = call{l.Adapter, m.Name}
		w := &writer{editor: e, at: at, label: label, into: list(e.behind, at), count: map[string]int{}}
		x := w.float(e.src.Nodes[at].Inputs[0], m.element)
		delta := w.product(m, l, x, w.perSample(l, e.src.Nodes[at].Inputs[0]))
		if m.element != tensor.F32 {
			delta = w.op("Cast", map[string]graph.Attr{"to": graph.IntAttr(int(m.element.ONNX()))}, delta)
		}
		e.top[at] = w.op("Add", nil, e.base(at), delta)
	}
}

// base is what an adapter's product is added to: the sum so far, or what the call itself yields, which gets a value of
// its own so that the readers of the sum need not change.
func (e *editor) base(at int) graph.ValueID {
	if id, ok := e.top[at]; ok {
		return id
	}
	v := *e.src.Value(e.src.Nodes[at].Outputs[0])
	v.Name += "/base"
	id := e.value(v)
	e.g.Nodes[at].Outputs = []graph.ValueID{id}
	return id
}

// float gives the activation as float32.
func (w *writer) float(x graph.ValueID, element tensor.DType) graph.ValueID {
	if element == tensor.F32 {
		return x
	}
	return w.once(sharedKey{what: "float32", a: x}, func() graph.ValueID {
		to := map[string]graph.Attr{"to": graph.IntAttr(int(tensor.F32.ONNX()))}
		return w.early(x, "lora/float32").op("Cast", to, x)
	})
}

// early writes right behind the node that makes x: for values that any call that reads x may share.
func (w *writer) early(x graph.ValueID, label string) *writer {
	place, made := w.producer[x]
	if !made {
		place = -1
	}
	return &writer{
		editor: w.editor, at: w.at, label: fmt.Sprintf("%s/%d", label, x), into: list(w.ahead, place), count: map[string]int{},
	}
}

// product is B·(s·(A·x)), with the scale where the values are few.
func (w *writer) product(m *Module, l Layer, x, s graph.ValueID) graph.ValueID {
	a, b := w.param(l.A), w.param(l.B)
	if m.Kind == Linear {
		flip := map[string]graph.Attr{"perm": graph.IntsAttr(1, 0)}
		h := w.op("MatMul", nil, x, w.op("Transpose", flip, a))
		return w.op("MatMul", nil, w.op("Mul", nil, h, s), w.op("Transpose", flip, b))
	}
	attrs := maps.Clone(w.src.Nodes[w.at].Attrs)
	delete(attrs, "group")
	h := w.op("Conv", attrs, x, a)
	kernel := slices.Repeat([]int{1}, len(m.Kernel))
	return w.op("Conv", map[string]graph.Attr{"kernel_shape": graph.IntsAttr(kernel...)}, w.op("Mul", nil, h, s), b)
}

// perSample gives the scale the rank of an activation, alpha/r included: one number for each sample, repeated over the
// rows of the first axis that belong to it. All of it but the scale itself is known when a program is compiled.
func (w *writer) perSample(l Layer, x graph.ValueID) graph.ValueID {
	s := w.scales[l.Adapter]
	return w.once(sharedKey{what: "scale", factor: l.Scale, a: s, b: x}, func() graph.ValueID { return w.spread(l, s, x) })
}

func (w *writer) spread(l Layer, s, x graph.ValueID) graph.ValueID {
	// The name is what an error of the compiler shows.
	a := w.early(x, "lora."+l.Adapter+"."+l.Module+": scale per sample (axis 0 of the activation must hold whole samples)")
	if l.Scale != 1 {
		s = a.op("Mul", nil, s, w.constant(fmt.Sprintf("factor%g", l.Scale), tensor.FromF32([]float32{float32(l.Scale)}, 1)))
	}
	first := map[string]graph.Attr{"axis": graph.IntAttr(0)}
	shape := a.op("Shape", nil, x)
	rows := a.op("Gather", first, shape, w.ints(0))
	samples := a.op("Shape", nil, s)
	each := a.op("Div", nil, rows, samples)
	column := a.op("Reshape", nil, s, w.ints(-1, 1))
	table := a.op("Expand", nil, column, a.op("Concat", first, samples, each))
	one := tensor.FromI64([]int64{1}, 1)
	others := a.op("Sub", nil, a.op("Shape", nil, shape), w.ints(1))
	ones := a.op("ConstantOfShape", map[string]graph.Attr{"value": graph.TensorAttr(one)}, others)
	return a.op("Reshape", nil, table, a.op("Concat", first, rows, ones))
}

// checkBatch refuses activations whose declared shape has the batch on another axis than the first.
func (e *editor) checkBatch() error {
	batch := map[string]bool{}
	for _, id := range e.src.Inputs {
		if d := e.src.Value(id).Dims; len(d) > 0 && d[0].Sym != "" {
			batch[d[0].Sym] = true
		}
	}
	for _, at := range slices.Sorted(maps.Keys(e.calls)) {
		c, n := e.calls[at], &e.src.Nodes[at]
		d := e.src.Value(n.Inputs[0]).Dims
		for axis := 1; axis < len(d); axis++ {
			if !batch[d[axis].Sym] || d[0].Sym != "" {
				continue
			}
			return &graph.UnsupportedError{
				Source: e.src.Source, Node: n.Label(), Op: n.Op, Opset: n.Opset,
				Why: fmt.Sprintf("adapter %q, module %q: the batch is axis %d of its activation, but a scale per sample needs it "+
					"on axis 0; leave the module out of the targets", c.adapter, c.module, axis),
			}
		}
	}
	return nil
}
