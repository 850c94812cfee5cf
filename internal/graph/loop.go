package graph

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
)

// Loop and Scan are unrolled while the graph is specialised: how often their body runs must be known then. What is left is a
// plain graph, with gradients and an ONNX form of its own.

// maxUnrolled bounds the nodes that a graph may come to, so that a small hostile file cannot fill the memory.
const maxUnrolled = 1 << 18

// unroll is the state of one Loop or Scan node.
type unroll struct {
	*Lowering
	sc   *scope
	node *Node
	body *Graph
}

func (s *specializer) newUnroll(sc *scope, n *Node, m *irNode) (*unroll, error) {
	m.Outputs = n.Outputs
	l := &Lowering{NodeCtx: s.context(m), s: s, ids: m.Inputs}
	a := n.Attrs["body"]
	if a.Kind != AttrGraph || a.G == nil {
		return nil, l.Refuse("body", "the subgraph is missing")
	}
	return &unroll{l, sc, n, a.G}, nil
}

// call walks the body once with the given arguments and returns its results.
func (u *unroll) call(args []ValueID) ([]ValueID, error) {
	if u.s.total++; u.s.total > maxUnrolled { // bodies without nodes count too
		return nil, u.Refuse("body", fmt.Sprintf("unrolling it gives more than %d nodes", maxUnrolled))
	}
	if len(args) != len(u.body.Inputs) {
		return nil, badNode(u.NodeCtx, "the body has %d inputs, %d are given", len(u.body.Inputs), len(args))
	}
	inner := newScope(u.body, u.sc)
	for i, id := range u.body.Inputs {
		inner.ids[id] = args[i]
	}
	if err := u.s.walk(inner); err != nil {
		return nil, err
	}
	out := make([]ValueID, len(u.body.Outputs))
	for i, id := range u.body.Outputs {
		var err error
		if out[i], err = u.s.resolve(inner, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// finish defines the node's outputs.
func (u *unroll) finish(values []ValueID) error {
	if u.err != nil {
		return u.err
	}
	if len(values) < len(u.node.Outputs) {
		return badNode(u.NodeCtx, "has %d outputs, the body gives %d", len(u.node.Outputs), len(values))
	}
	for i := range u.node.Outputs {
		if err := u.s.define(u.sc, u.node, i, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// stack joins equally shaped values along a new axis.
func (l *Lowering) stack(values []ValueID, axis int) ValueID {
	if l.err != nil {
		return None
	}
	shape := l.TypeOf(values[0]).Shape
	rows := make([]ValueID, len(values))
	for i, id := range values {
		rows[i] = l.Reshape(id, slices.Insert(slices.Clone(shape), axis, 1)...)
	}
	return l.OpA("Concat", map[string]Attr{"axis": IntAttr(axis)}, rows...)
}

// at takes element i along an axis.
func (u *unroll) at(id ValueID, axis, i int) ValueID {
	return u.OpA("Gather", map[string]Attr{"axis": IntAttr(axis)}, id, u.Const(tensor.FromI64([]int64{int64(i)})))
}

// loop unrolls Loop: inputs trip count, condition and carried values; the body takes the number of the iteration, the
// condition and the carried values, and gives the next condition, the carried values and one element of each stack.
func (s *specializer) loop(sc *scope, n *Node, m *irNode) error {
	u, err := s.newUnroll(sc, n, m)
	if err != nil {
		return err
	}
	if err := checkArity(u.NodeCtx, 0, len(m.Inputs), 1, len(n.Outputs)); err != nil {
		return err
	}
	trips := int64(maxUnrolled)
	if u.Has(0) {
		v, err := u.ConstInts(0)
		if err != nil {
			return err
		}
		if len(v) != 1 {
			return badInput(u.NodeCtx, 0, "has %d elements, want one trip count", len(v))
		}
		trips = v[0]
	}
	cond := u.Const(tensor.FromBool([]bool{true}))
	if u.Has(1) {
		cond = m.Inputs[1]
	}
	carried := slices.Clone(m.Inputs[min(2, len(m.Inputs)):])
	if slices.Contains(carried, None) || len(u.body.Outputs) < 1+len(carried) {
		return badNode(u.NodeCtx, "carries %d values, its body gives %d results", len(carried), len(u.body.Outputs))
	}
	values, err := u.iterate(trips, cond, carried)
	if err != nil {
		return err
	}
	return u.finish(values)
}

// iterate runs the body until the trips or the condition end.
func (u *unroll) iterate(trips int64, cond ValueID, carried []ValueID) ([]ValueID, error) {
	stacks := make([][]ValueID, len(u.body.Outputs)-1-len(carried))
	for i := int64(0); i < trips; i++ {
		c := u.s.val(cond)
		if c.typ.DType != tensor.Bool || c.typ.Elems() != 1 {
			return nil, badNode(u.NodeCtx, "the condition is %v, one bool is required", c.typ)
		}
		if c.konst == nil {
			return nil, u.Refuse("", "the condition depends on the contents of a graph input")
		}
		if c.konst.Data[0] == 0 {
			break
		}
		out, err := u.call(append([]ValueID{u.Const(tensor.FromI64([]int64{i})), cond}, carried...))
		if err != nil {
			return nil, err
		}
		cond, carried = out[0], out[1:1+len(carried)]
		for k, id := range out[1+len(carried):] {
			stacks[k] = append(stacks[k], id)
		}
	}
	return u.collect(carried, stacks, nil, nil)
}

// collect appends the stacks to the carried values, along the given axes and backwards where asked.
func (u *unroll) collect(carried []ValueID, stacks [][]ValueID, axes, backwards []int64) ([]ValueID, error) {
	values := slices.Clone(carried)
	for k, stack := range stacks {
		if len(stack) == 0 {
			return nil, u.Refuse("", "no iteration, and a result for each")
		}
		axis, err := normAxis(u.NodeCtx, entry(axes, k), len(u.TypeOf(stack[0]).Shape)+1)
		if err != nil {
			return nil, err
		}
		if entry(backwards, k) != 0 {
			slices.Reverse(stack)
		}
		for _, id := range stack {
			if l := u.s.lists[id]; l != nil {
				return nil, badNode(u.NodeCtx, "stacks %v, a tensor is required", l)
			}
			if !u.TypeOf(id).Equal(u.TypeOf(stack[0])) {
				return nil, u.Refuse("", "results of different types in different iterations")
			}
		}
		values = append(values, u.stack(stack, axis))
	}
	return values, u.err
}

// entry is v[i], 0 beyond its end.
func entry(v []int64, i int) int64 {
	if i < len(v) {
		return v[i]
	}
	return 0
}
