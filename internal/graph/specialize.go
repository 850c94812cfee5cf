package graph

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/tensor"
)

// specializer turns a Graph into an ir for given input types.
type specializer struct {
	*ir
	seen   map[string]*irNode // structure → node, for common subexpressions
	consts map[string]ValueID // small constants by contents
	total  int                // nodes met, subgraphs included
	lists  map[ValueID]*list  // what values without type stand for
	listed int                // elements of all lists
	veto   func(c *NodeCtx) error
	vetoed error
}

// scope maps the values of one (sub)graph to the ir.
type scope struct {
	g      *Graph
	ids    []ValueID // by ValueID of g; None: not defined yet
	byName map[string]ValueID
	outer  *scope
}

// specialize walks the graph in order, infers types, folds what is known and merges equal nodes.
func specialize(g *Graph, inputs map[string]Type, opt *Options) (*ir, int, error) {
	s := newSpecializer(g, opt)
	root := newScope(g, nil)
	if err := s.bindInputs(root, inputs); err != nil {
		return nil, 0, err
	}
	if err := s.walk(root); err != nil {
		return nil, 0, err
	}
	taken := map[string]bool{}
	for _, id := range g.Outputs {
		v, err := s.resolve(root, id)
		if err != nil {
			return nil, 0, err
		}
		if err := s.bindOutput(g.Value(id).Name, v, taken); err != nil {
			return nil, 0, err
		}
	}
	s.sweep()
	return s.ir, s.total, nil
}

func newSpecializer(g *Graph, opt *Options) *specializer {
	return &specializer{
		ir:   &ir{src: g, packs: opt.Packs, threads: opt.threads(), packed: map[any]int{}},
		seen: map[string]*irNode{}, consts: map[string]ValueID{}, lists: map[ValueID]*list{},
	}
}

func newScope(g *Graph, outer *scope) *scope {
	sc := &scope{g: g, outer: outer, ids: make([]ValueID, len(g.Values))}
	for i := range sc.ids {
		sc.ids[i] = None
	}
	return sc
}

// walk visits the nodes of one (sub)graph.
func (s *specializer) walk(sc *scope) error {
	for i := range sc.g.Nodes {
		s.total++
		if err := s.visit(sc, &sc.g.Nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds the ir value that a value of a (sub)graph stands for, entering constants on first use.
func (s *specializer) resolve(sc *scope, id ValueID) (ValueID, error) {
	if id == None {
		return None, nil
	}
	if id < 0 || int(id) >= len(sc.ids) {
		return None, fmt.Errorf("%s: value %d does not exist in graph %q", s.src.Source, id, sc.g.Name)
	}
	if v := sc.ids[id]; v != None {
		return v, nil
	}
	value := sc.g.Value(id)
	if value.Const != nil {
		sc.ids[id] = s.enterConst(value.Name, *value.Const)
		return sc.ids[id], nil
	}
	for o := sc.outer; o != nil; o = o.outer {
		if outerID, ok := o.lookup(value.Name); ok {
			return s.resolve(o, outerID)
		}
	}
	return None, &ShapeError{Source: s.src.Source, Input: value.Name, Why: "the value is read before any node produces it"}
}

func (sc *scope) lookup(name string) (ValueID, bool) {
	if sc.byName == nil {
		sc.byName = make(map[string]ValueID, len(sc.g.Values))
		for i := range sc.g.Values {
			sc.byName[sc.g.Values[i].Name] = ValueID(i)
		}
	}
	id, ok := sc.byName[name]
	return id, ok && name != ""
}

// smallConst is the size up to which equal constants are merged, so that expressions over them merge too.
const smallConst = 256

// enterConst adds a constant; small ones with equal contents become one value.
func (s *specializer) enterConst(name string, t tensor.Tensor) ValueID {
	key := ""
	if len(t.Data) <= smallConst {
		key = fmt.Sprintf("%d%v|%s", t.DType, t.Shape, t.Data)
		if id, ok := s.consts[key]; ok {
			return id
		}
	}
	id := s.addConst(name, t)
	if key != "" {
		s.consts[key] = id
	}
	return id
}

// visit specialises one node.
func (s *specializer) visit(sc *scope, n *Node) error {
	m := &irNode{Node: *n}
	m.Inputs = make([]ValueID, len(n.Inputs))
	for i, id := range n.Inputs {
		v, err := s.resolve(sc, id)
		if err != nil {
			return err
		}
		m.Inputs[i] = v
	}
	if canonicalDomain(n.Domain) == "" {
		done, err := s.builtin(sc, n, m)
		if done || err != nil {
			return err
		}
	}
	if s.veto != nil {
		if s.vetoed = s.veto(s.context(m)); s.vetoed != nil {
			return s.vetoed
		}
	}
	var err error
	if m.op, err = lookup(s.src, n); err != nil {
		return err
	}
	if !m.op.Containers {
		if err := s.tensorsOnly(m); err != nil {
			return err
		}
	}
	if m.op.Lower != nil {
		return s.lower(sc, n, m)
	}
	return s.add(sc, n, m)
}

// builtin handles what needs no operator: constants, identities and conditionals.
func (s *specializer) builtin(sc *scope, n *Node, m *irNode) (done bool, err error) {
	switch n.Op {
	case "Constant":
		a, ok := n.Attrs["value"]
		if !ok || a.Kind != AttrTensor || a.T == nil {
			return false, nil
		}
		return true, s.define(sc, n, 0, s.enterConst("", *a.T))
	case "Identity":
		if len(m.Inputs) != 1 || m.Inputs[0] == None {
			return false, &ShapeError{Source: s.src.Source, Node: n.Label(), Op: n.Op, Why: "exactly one input is required"}
		}
		return true, s.define(sc, n, 0, m.Inputs[0])
	case "If":
		return true, s.branch(sc, n, m)
	case "Loop":
		return true, s.loop(sc, n, m)
	case "Scan":
		return true, s.scan(sc, n, m)
	case "SequenceMap":
		return true, s.sequenceMap(sc, n, m)
	}
	return false, nil
}

// define records which ir value output i of a source node stands for.
func (s *specializer) define(sc *scope, n *Node, i int, v ValueID) error {
	if i >= len(n.Outputs) || n.Outputs[i] == None {
		return nil
	}
	sc.ids[n.Outputs[i]] = v
	if s.vals[v].name == "" {
		s.vals[v].name = sc.g.Value(n.Outputs[i]).Name
	}
	return nil
}

// branch inlines the taken side of an If whose condition is known. A condition over contents is compiled as both sides
// and a selection, which is what the model means as long as the two sides yield equal types: operators have no effects.
func (s *specializer) branch(sc *scope, n *Node, m *irNode) error {
	c := s.context(m)
	if len(m.Inputs) != 1 || m.Inputs[0] == None {
		return c.ShapeErrorf(-1, "If needs exactly one condition")
	}
	if t := c.In[0].Type; t.DType != tensor.Bool || t.Elems() != 1 {
		return c.ShapeErrorf(0, "the condition is %v, one bool is required", t)
	}
	cond := c.In[0].Const
	if cond == nil {
		return s.bothSides(sc, n, c, m.Inputs[0])
	}
	side := "else_branch"
	if cond.Data[0] != 0 {
		side = "then_branch"
	}
	ids, err := s.inline(sc, n, c, side)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := s.define(sc, n, i, id); err != nil {
			return err
		}
	}
	return nil
}

// bothSides compiles an If over contents: y = Where(cond, then, else).
func (s *specializer) bothSides(sc *scope, n *Node, c *NodeCtx, cond ValueID) error {
	yes, err := s.inline(sc, n, c, "then_branch")
	if err != nil {
		return err
	}
	no, err := s.inline(sc, n, c, "else_branch")
	if err != nil {
		return err
	}
	flat := s.constInts("shape", []int{})
	if cond, err = s.emit(n, spec{op: "Reshape", inputs: []ValueID{cond, flat}}); err != nil {
		return err
	}
	for i := range yes {
		id, err := s.choose(n, c, cond, yes[i], no[i])
		if err != nil {
			return err
		}
		if err := s.define(sc, n, i, id); err != nil {
			return err
		}
	}
	return nil
}

// emit appends a node with one output that stands for part of a source node.
func (s *specializer) emit(like *Node, sp spec) (ValueID, error) {
	m, err := s.node(&irNode{Node: *like}, sp)
	if err != nil {
		return None, err
	}
	m.Outputs = []ValueID{None}
	types, err := s.infer(m)
	if err != nil {
		return None, err
	}
	m.Outputs[0] = s.addValue(irValue{typ: types[0], def: m, input: -1})
	s.nodes = append(s.nodes, m)
	return m.Outputs[0], nil
}

// inline walks one side of an If and returns the ir values of its outputs.
func (s *specializer) inline(sc *scope, n *Node, c *NodeCtx, side string) ([]ValueID, error) {
	a := n.Attrs[side]
	if a.Kind != AttrGraph || a.G == nil {
		return nil, c.Refuse(side, "the subgraph is missing")
	}
	if len(a.G.Outputs) != len(n.Outputs) {
		return nil, c.ShapeErrorf(-1, "%s has %d outputs, the node has %d", side, len(a.G.Outputs), len(n.Outputs))
	}
	inner := newScope(a.G, sc)
	if err := s.walk(inner); err != nil {
		return nil, err
	}
	ids := make([]ValueID, len(n.Outputs))
	for i, id := range a.G.Outputs {
		var err error
		if ids[i], err = s.resolve(inner, id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// add enters a node of the file and defines its outputs.
func (s *specializer) add(sc *scope, n *Node, m *irNode) error {
	ids, err := s.enter(m, len(n.Outputs))
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := s.define(sc, n, i, id); err != nil {
			return err
		}
	}
	return nil
}

// enter infers a node with n outputs, folds, merges or appends it, and returns the values of its outputs.
func (s *specializer) enter(m *irNode, n int) ([]ValueID, error) {
	m.Outputs = make([]ValueID, n)
	types, err := s.infer(m)
	if err != nil {
		return nil, err
	}
	if id, ok := s.widened(m, types); ok {
		return []ValueID{id}, nil
	}
	if id, ok := s.overZeros(m, types); ok {
		return []ValueID{id}, nil
	}
	if err := s.fillIn(m); err != nil {
		return nil, err
	}
	key := structureKey(m)
	if same, ok := s.seen[key]; ok && !m.op.Random {
		return same.Outputs, nil
	}
	s.seen[key] = m
	foldable := s.foldable(m)
	if foldable && !s.deferrable(m) && !s.zeros(m, types) {
		m.Outputs, err = s.enterFolded(m, types)
		return m.Outputs, err
	}
	m.later = foldable
	for i := range m.Outputs {
		m.Outputs[i] = s.addValue(irValue{typ: types[i], def: m, input: -1})
	}
	s.nodes = append(s.nodes, m)
	return m.Outputs, nil
}

// enterFolded evaluates a node now and enters its outputs as constants.
func (s *specializer) enterFolded(m *irNode, types []Type) ([]ValueID, error) {
	outs, err := s.fold(m, types)
	if err != nil {
		return nil, err
	}
	ids := make([]ValueID, len(m.Outputs))
	for i := range ids {
		t := outs[i]
		if types[i].DType == t.DType {
			ids[i] = s.enterConst("", t)
			s.vals[ids[i]].folded = len(t.Data) > smallConst // small ones may be the file's
		} else { // half types fold to float32
			ids[i] = s.addValue(irValue{typ: types[i], konst: &t, input: -1, folded: true})
		}
	}
	return ids, nil
}

// foldable reports whether a node's result is known now.
func (s *specializer) foldable(m *irNode) bool {
	if m.op.Random {
		return false
	}
	if m.op.ShapeOnly {
		return true
	}
	for _, id := range m.Inputs {
		if id != None && s.vals[id].konst == nil {
			return false
		}
	}
	return true
}

// deferElems is the size from which a transposed constant is not copied at once: a product that reads it packs it from
// the original layout instead.
const deferElems = 1 << 14

func (s *specializer) deferrable(m *irNode) bool {
	return m.is("Transpose") && len(m.Inputs) == 1 && s.vals[m.Inputs[0]].typ.Elems() >= deferElems
}

// widened handles casts between floating types of a constant: the bytes stay as the file has them, only the nominal
// type changes, because kernels widen while packing. Narrowing casts round and are folded as usual.
func (s *specializer) widened(m *irNode, types []Type) (ValueID, bool) {
	if !m.is("Cast") || len(m.Inputs) != 1 || len(types) != 1 || types[0].DType != tensor.F32 {
		return None, false
	}
	v := s.vals[m.Inputs[0]]
	if v.konst == nil || v.typ.Storage() != tensor.F32 {
		return None, false
	}
	return s.addValue(irValue{name: v.name, typ: types[0], konst: v.konst, input: -1}), true
}

// structureKey is equal for nodes that compute the same from the same operands.
func structureKey(m *irNode) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%d|%v|%d", m.Domain, m.Op, m.Opset, m.Inputs, len(m.Outputs))
	names := make([]string, 0, len(m.Attrs))
	for name := range m.Attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		a := m.Attrs[name]
		fmt.Fprintf(&b, "|%s=%d,%d,%g,%q,%v,%v,%q,%p,%p", name, a.Kind, a.I, a.F, a.S, a.Ints, a.Floats, a.Strings, a.T, a.G)
	}
	return b.String()
}
