package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

// Sequences and optionals exist only while a graph is specialised: a value of the graph then stands for a list of values, or
// for none at all, and the operators on them leave nothing behind. An optional that holds something is what it holds.

// Container says what a value of a graph is, or holds.
type Container uint8

// Containers. OptionalSequence is an optional that may hold a sequence.
const (
	NoContainer Container = iota
	Sequence
	Optional
	OptionalSequence
)

// String names the container as ONNX does.
func (c Container) String() string {
	return [...]string{"tensor", "seq(tensor)", "optional(tensor)", "optional(seq(tensor))"}[c&3]
}

// Element is the name under which element i of a sequence is passed at a program's border.
func Element(sequence string, i int) string { return fmt.Sprintf("%s[%d]", sequence, i) }

// list is what an ir value without type stands for.
type list struct {
	elems  []ValueID
	dtype  tensor.DType // of the elements
	absent bool         // an optional that holds nothing
}

// String names it for messages.
func (l *list) String() string {
	if l.absent {
		return "an optional that holds nothing"
	}
	return fmt.Sprintf("a sequence of %d tensors", len(l.elems))
}

// maxListed bounds the elements of all lists together, so that a small hostile file cannot fill the memory.
const maxListed = 1 << 24

// addList enters a list.
func (s *specializer) addList(l list) ValueID {
	id := s.addValue(irValue{input: -1})
	s.lists[id] = &l
	s.listed += len(l.elems)
	return id
}

// tensorsOnly refuses lists as operands of a node.
func (s *specializer) tensorsOnly(m *irNode) error {
	for i, id := range m.Inputs {
		if l := s.lists[id]; l != nil {
			return s.context(m).ShapeErrorf(i, "is %v, a tensor is required", l)
		}
	}
	return nil
}

// bindContainer enters an input that is no tensor: an optional tensor x under its own name, the elements of a sequence x as
// "x[0]", "x[1]" and so on, nothing for an optional that holds nothing. Symbolic dimensions are those of each element alone.
func (s *specializer) bindContainer(sc *scope, id ValueID, given map[string]Type, known map[string]bool) error {
	v := *sc.g.Value(id)
	l := list{dtype: v.DType}
	for i := 0; ; i++ {
		e := v
		if v.Container != Optional {
			e.Name = Element(v.Name, i)
		}
		typ, ok := given[e.Name]
		if !ok || v.Container == Optional && i > 0 {
			break
		}
		if known[e.Name] && v.Container != Optional {
			return s.inputError(e.Name, "is an input and an element of input %q", v.Name)
		}
		known[e.Name] = true
		elem, err := s.bindTensor(sc, id, &e, typ, map[string]boundSym{})
		if err != nil {
			return err
		}
		if l.dtype == tensor.Invalid {
			l.dtype = s.val(elem).typ.DType
		}
		if s.val(elem).typ.DType != l.dtype {
			return s.inputError(e.Name, "given as %v, other elements as %v", s.val(elem).typ.DType, l.dtype)
		}
		l.elems = append(l.elems, elem)
	}
	switch {
	case v.Container == Optional && len(l.elems) == 1:
		sc.ids[id] = l.elems[0]
		return nil
	case v.Container != Sequence && len(l.elems) == 0:
		l.absent = true
	}
	sc.ids[id] = s.addList(l)
	return nil
}

// bindOutput makes a value an output: itself, or the elements of a sequence, or nothing.
func (s *specializer) bindOutput(name string, v ValueID, taken map[string]bool) error {
	l := s.lists[v]
	if l == nil {
		s.outputs = append(s.outputs, irPort{name: name, value: v})
		taken[name] = true
		return nil
	}
	for i, id := range l.elems {
		e := Element(name, i)
		if taken[e] {
			return &ShapeError{Source: s.src.Source, Why: fmt.Sprintf("output %q is also an element of output %q", e, name)}
		}
		taken[e] = true
		s.outputs = append(s.outputs, irPort{name: e, value: id})
	}
	return nil
}

// choose is Where(cond, yes, no), for lists of equal length element by element.
func (s *specializer) choose(n *Node, c *NodeCtx, cond, yes, no ValueID) (ValueID, error) {
	a, b := s.lists[yes], s.lists[no]
	if a == nil && b == nil {
		t, u := s.vals[yes].typ, s.vals[no].typ
		if !t.Equal(u) {
			return None, c.Refuse("", fmt.Sprintf("the condition depends on the contents of an input and the branches yield "+
				"different types, %v and %v", t, u))
		}
		return s.emit(n, spec{op: "Where", inputs: []ValueID{cond, yes, no}})
	}
	if a == nil || b == nil || a.absent != b.absent || len(a.elems) != len(b.elems) || a.dtype != b.dtype {
		return None, c.Refuse("", "the condition depends on the contents of an input and the branches yield different sequences or optionals")
	}
	if s.total += len(a.elems); s.total > maxUnrolled {
		return None, c.Refuse("", fmt.Sprintf("choosing between its sequences gives more than %d nodes", maxUnrolled))
	}
	l := list{dtype: a.dtype, absent: a.absent}
	for i := range a.elems {
		id, err := s.choose(n, c, cond, a.elems[i], b.elems[i])
		if err != nil {
			return None, err
		}
		l.elems = append(l.elems, id)
	}
	return s.addList(l), nil
}

// sequence returns operand i, which must be a sequence.
func (l *Lowering) sequence(i int) (*list, error) {
	v := l.s.lists[l.Arg(i)]
	switch {
	case v == nil && l.Has(i):
		return nil, badInput(l.NodeCtx, i, "is a tensor %v, a sequence is required", l.In[i].Type)
	case v == nil:
		return nil, badInput(l.NodeCtx, i, "is missing")
	case v.absent:
		return nil, badInput(l.NodeCtx, i, "is %v, a sequence is required", v)
	}
	return v, nil
}

// newSequence enters a sequence of tensors of one element type.
func (l *Lowering) newSequence(dt tensor.DType, elems []ValueID) (ValueID, error) {
	if l.err != nil {
		return None, l.err
	}
	for _, id := range elems {
		if v := l.s.lists[id]; v != nil {
			return None, badNode(l.NodeCtx, "an element is %v, a tensor is required", v)
		}
		if got := l.TypeOf(id).DType; got != dt {
			return None, badNode(l.NodeCtx, "an element of type %v in a sequence of %v", got, dt)
		}
	}
	if l.s.listed+len(elems) > maxListed {
		return None, l.Refuse("", fmt.Sprintf("the sequences of the graph have more than %d elements", maxListed))
	}
	return l.s.addList(list{elems: elems, dtype: dt}), nil
}

// resultSequence makes output 0 a sequence.
func (l *Lowering) resultSequence(dt tensor.DType, elems []ValueID) error {
	id, err := l.newSequence(dt, elems)
	if err == nil {
		l.Result(0, id)
	}
	return err
}
