package graph

import "slices"

// sequenceMap unrolls SequenceMap: the body takes an element of each input that is a sequence, tensors as they are, and gives
// an element of each result.
func (s *specializer) sequenceMap(sc *scope, n *Node, m *irNode) error {
	u, err := s.newUnroll(sc, n, m)
	if err != nil {
		return err
	}
	first, err := u.sequence(0)
	if err != nil {
		return err
	}
	length := len(first.elems)
	for i, id := range m.Inputs {
		switch l := s.lists[id]; {
		case id == None:
			return badInput(u.NodeCtx, i, "is missing")
		case l != nil && (l.absent || len(l.elems) != length):
			return badInput(u.NodeCtx, i, "is %v, the first input has %d", l, length)
		}
	}
	results := make([][]ValueID, len(u.body.Outputs))
	for t := range length {
		args := slices.Clone(m.Inputs)
		for i, id := range args {
			if l := s.lists[id]; l != nil {
				args[i] = l.elems[t]
			}
		}
		out, err := u.call(args)
		if err != nil {
			return err
		}
		for k, id := range out {
			results[k] = append(results[k], id)
		}
	}
	values := make([]ValueID, len(results))
	for k, elems := range results {
		dt := u.body.Value(u.body.Outputs[k]).DType
		if length > 0 {
			dt = u.TypeOf(elems[0]).DType
		}
		if values[k], err = u.newSequence(dt, elems); err != nil {
			return err
		}
	}
	return u.finish(values)
}
