package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// ir is a graph specialised to static shapes: every value has a Type, every node its operator. Rewrites work on it.
type ir struct {
	src     *Graph
	vals    []irValue
	nodes   []*irNode // execution order; dead nodes are skipped and swept by sweep
	inputs  []irPort
	outputs []irPort
	packs   *Packs
	threads int
	lean    bool // the reverse pass packs weights anew in each call
	release func(data []byte)
	packed  map[any]int // bytes by packed form, filled by NodeCtx.Packed
}

// irPort binds a name of the program's border to a value. back marks cotangents and gradients: the border of the reverse
// pass.
type irPort struct {
	name  string
	value ValueID
	back  bool
}

// irValue is one value of the specialised graph.
type irValue struct {
	name  string
	typ   Type
	konst *tensor.Tensor // known value; may be narrower than typ (float16 weights) or wider (folded results)
	def   *irNode        // producer; nil for inputs and constants
	uses  int            // reading operands and graph outputs, kept by the rewrite helpers
	input int            // position among the program's inputs, -1 otherwise
	// folded marks constants that the compiler computed: their memory is ours to drop.
	folded bool
}

// irNode is a node with its operator. Inputs and Outputs are identifiers of the ir, not of the source graph.
type irNode struct {
	Node
	op       *Operator
	dead     bool
	back     bool   // part of the reverse pass, which follows the whole forward pass
	later    bool   // foldable, but kept until the rewrites have run: one may absorb it into packed weights
	absorbed []bool // inputs that the kernel holds in packed form
}

// addValue enters a value.
func (p *ir) addValue(v irValue) ValueID {
	p.vals = append(p.vals, v)
	return ValueID(len(p.vals) - 1)
}

// addConst enters a constant made by the compiler.
func (p *ir) addConst(name string, t tensor.Tensor) ValueID {
	return p.addValue(irValue{name: name, typ: Type{t.DType, t.Shape}, konst: &t, input: -1})
}

// constInts enters a constant vector of int64.
func (p *ir) constInts(name string, v []int) ValueID {
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(x)
	}
	return p.addConst(name, tensor.FromI64(ints, len(ints)))
}

func (p *ir) val(id ValueID) *irValue { return &p.vals[id] }

func (p *ir) shape(id ValueID) []int { return p.vals[id].typ.Shape }

// context prepares what an operator sees of a node.
func (p *ir) context(n *irNode) *NodeCtx {
	c := &NodeCtx{Node: &n.Node, Threads: p.threads, graph: p.src, packs: p.packs, lean: p.lean && n.back, release: p.release, packed: p.packed}
	c.In = make([]Operand, len(n.Inputs))
	c.own = make([]bool, 0, len(n.Inputs))
	for i, id := range n.Inputs {
		if id != None {
			v := p.val(id)
			c.In[i] = Operand{Type: v.typ, Const: v.konst, Present: true}
			c.own = append(c.own, v.folded)
		} else {
			c.own = append(c.own, false)
		}
	}
	return c
}

// def returns the producer of a value if it is an operator of the given name in the standard domain.
func (p *ir) def(id ValueID, op string) *irNode { return p.defIn(id, "", op) }

// defIn is def for any domain.
func (p *ir) defIn(id ValueID, domain, op string) *irNode {
	if id == None {
		return nil
	}
	n := p.val(id).def
	if n == nil || n.dead || n.Op != op || canonicalDomain(n.Domain) != domain {
		return nil
	}
	return n
}

// is reports whether a node is alive and applies op of the standard domain.
func (n *irNode) is(op string) bool {
	return !n.dead && n.Op == op && canonicalDomain(n.Domain) == ""
}

// fused reports whether a node is alive and applies op of Winnow's domain.
func (n *irNode) fused(op string) bool { return !n.dead && n.Op == op && n.Domain == Domain }

// in returns input i, None when missing.
func (n *irNode) in(i int) ValueID {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return None
}

// attrInt returns an integer attribute or def.
func (n *irNode) attrInt(name string, def int) int {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrInt {
		return int(a.I)
	}
	return def
}

// attrInts returns a list attribute as ints, nil if absent.
func (n *irNode) attrInts(name string) []int {
	a, ok := n.Attrs[name]
	if !ok || a.Kind != AttrInts {
		return nil
	}
	out := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		out[i] = int(v)
	}
	return out
}

// attrFloat returns a float attribute or def.
func (n *irNode) attrFloat(name string, def float32) float32 {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrFloat {
		return a.F
	}
	return def
}

// attrString returns a string attribute or def.
func (n *irNode) attrString(name, def string) string {
	if a, ok := n.Attrs[name]; ok && a.Kind == AttrString {
		return a.S
	}
	return def
}

// single reports whether a value is read exactly once and is no output of the graph.
func (p *ir) single(id ValueID) bool { return p.val(id).uses == 1 }

// scalar returns the value of a constant with one element.
func (p *ir) scalar(id ValueID) (float64, bool) {
	if id == None || p.val(id).konst == nil {
		return 0, false
	}
	return scalarOf(*p.val(id).konst)
}

// users lists the live nodes that read a value. The scan is linear; values with one user are the common question.
func (p *ir) users(id ValueID) []*irNode {
	var out []*irNode
	for _, n := range p.nodes {
		if !n.dead && slices.Contains(n.Inputs, id) {
			out = append(out, n)
		}
	}
	return out
}

// countUses recomputes uses from scratch.
func (p *ir) countUses() {
	for i := range p.vals {
		p.vals[i].uses = 0
	}
	for _, n := range p.nodes {
		if !n.dead {
			p.use(n.Inputs, 1)
		}
	}
	for _, o := range p.outputs {
		p.vals[o.value].uses++
	}
}

func (p *ir) use(ids []ValueID, delta int) {
	for _, id := range ids {
		if id != None {
			p.vals[id].uses += delta
		}
	}
}

// kill removes a node and every producer that loses its last reader by that.
func (p *ir) kill(n *irNode) {
	if n.dead {
		return
	}
	n.dead = true
	p.use(n.Inputs, -1)
	p.collect(n.Inputs)
}

// collect kills the producers of values that nobody reads.
func (p *ir) collect(ids []ValueID) {
	for _, id := range ids {
		if id == None {
			continue
		}
		d := p.val(id).def
		if d != nil && !d.dead && p.unread(d) {
			p.kill(d)
		}
	}
}

// unread reports whether no output of a node is read.
func (p *ir) unread(n *irNode) bool {
	for _, o := range n.Outputs {
		if o != None && p.val(o).uses > 0 {
			return false
		}
	}
	return true
}

// sweep removes nodes without readers and compacts the list.
func (p *ir) sweep() {
	p.countUses()
	for i := len(p.nodes) - 1; i >= 0; i-- {
		if n := p.nodes[i]; !n.dead && p.unread(n) {
			p.kill(n)
		}
	}
	p.nodes = slices.DeleteFunc(p.nodes, func(n *irNode) bool { return n.dead })
}
