package graph

import "math"

// Older exports of attention add zeros: torch.baddbmm with beta = 0 becomes q·kᵀ·scale + 0·ConstantOfShape(…), with zeros
// as large as all scores together, gigabytes at the sizes of pictures. Such zeros are not made when the graph is
// specialised, only when something other than a sum or a product reads them.

// zeros reports whether a node makes a large tensor of zeros.
func (s *specializer) zeros(m *irNode, types []Type) bool {
	if !m.is("ConstantOfShape") || len(types) != 1 || types[0].Elems() < deferElems {
		return false
	}
	t, err := fillValue(s.context(m))
	if err != nil {
		return false
	}
	v, ok := scalarOf(t)
	return ok && v == 0
}

// putOffZeros returns the node that makes a value if it makes zeros and has not run yet, nil otherwise.
func (s *specializer) putOffZeros(id ValueID) *irNode {
	n := s.def(id, "ConstantOfShape")
	if n == nil || s.vals[id].konst != nil || !s.zeros(n, []Type{s.vals[id].typ}) {
		return nil
	}
	return n
}

// overZeros returns what a sum with zeros, or a product of zeros and a number, yields.
func (s *specializer) overZeros(m *irNode, types []Type) (ValueID, bool) {
	if len(m.Inputs) != 2 || len(types) != 1 {
		return None, false
	}
	for i, id := range m.Inputs {
		if s.putOffZeros(id) == nil {
			continue
		}
		other, result := m.Inputs[1-i], None
		switch {
		case m.is("Add"), m.is("Sub") && i == 1:
			result = other
		case m.is("Mul"):
			if v, ok := s.scalar(other); ok && !math.IsInf(v, 0) && !math.IsNaN(v) {
				result = id
			}
		}
		if result != None && s.vals[result].typ.Equal(types[0]) {
			return result, true
		}
	}
	return None, false
}

// fillIn makes the zeros that a node reads, unless it reads only their shape.
func (s *specializer) fillIn(m *irNode) error {
	if m.op.ShapeOnly {
		return nil
	}
	for _, id := range m.Inputs {
		if id == None {
			continue
		}
		n := s.putOffZeros(id)
		if n == nil {
			continue
		}
		outs, err := s.fold(n, []Type{s.vals[id].typ})
		if err != nil {
			return err
		}
		v := s.val(id)
		v.konst, v.def, v.folded, n.dead = &outs[0], nil, true, true
	}
	return nil
}
