package graph

import "slices"

// scan unrolls Scan: inputs N states and the sequences; the body takes the states and one element of each sequence, and
// gives the next states and one element of each result. Until opset 9 there is a batch axis in front of everything, and an
// input with the lengths before the states.
func (s *specializer) scan(sc *scope, n *Node, m *irNode) error {
	u, err := s.newUnroll(sc, n, m)
	if err != nil {
		return err
	}
	inputs, first := m.Inputs, 0
	if n.Opset < 9 {
		if u.Has(0) {
			return u.Refuse("", "lengths of the sequences in a batch")
		}
		first = 1
	}
	inputs = inputs[min(first, len(inputs)):]
	count := int(min(max(u.AttrInt("num_scan_inputs", 0), 0), maxRank))
	if count < 1 || count > len(inputs) || slices.Contains(inputs, None) || len(u.body.Outputs) < len(inputs)-count {
		return badNode(u.NodeCtx, "has %d inputs, %d of them sequences, and a body with %d results", len(inputs), count, len(u.body.Outputs))
	}
	var values []ValueID
	if n.Opset < 9 {
		values, err = u.scanBatch(inputs, count)
	} else {
		values, err = u.scanOnce(inputs, count)
	}
	if err != nil {
		return err
	}
	return u.finish(values)
}

// scanBatch scans each sample by itself.
func (u *unroll) scanBatch(inputs []ValueID, count int) ([]ValueID, error) {
	batch := 0
	for i, id := range inputs {
		shape := u.TypeOf(id).Shape
		if len(shape) == 0 || i > 0 && shape[0] != batch || shape[0] == 0 {
			return nil, badNode(u.NodeCtx, "operands disagree about the batch")
		}
		batch = shape[0]
	}
	var rows [][]ValueID // by result
	for b := range batch {
		sample := make([]ValueID, len(inputs))
		for i, id := range inputs {
			sample[i] = u.at(id, 0, b)
		}
		values, err := u.scanOnce(sample, count)
		if err != nil {
			return nil, err
		}
		if rows == nil {
			rows = make([][]ValueID, len(values))
		}
		for i, id := range values {
			rows[i] = append(rows[i], id)
		}
	}
	return u.collect(nil, rows, nil, nil)
}

// scanOnce runs the body over the elements of the last count inputs.
func (u *unroll) scanOnce(inputs []ValueID, count int) ([]ValueID, error) {
	if u.err != nil {
		return nil, u.err
	}
	states, seqs := inputs[:len(inputs)-count], inputs[len(inputs)-count:]
	axes, lengths, err := u.sequences(seqs)
	if err != nil {
		return nil, err
	}
	directions, _ := u.AttrInts("scan_input_directions")
	if u.Node.Opset < 9 {
		directions, _ = u.AttrInts("directions")
	}
	stacks := make([][]ValueID, len(u.body.Outputs)-len(states))
	for t := range lengths {
		args := slices.Clone(states)
		for k, id := range seqs {
			at := t
			if entry(directions, k) != 0 {
				at = lengths - 1 - t
			}
			args = append(args, u.at(id, axes[k], at))
		}
		if u.err != nil {
			return nil, u.err
		}
		out, err := u.call(args)
		if err != nil {
			return nil, err
		}
		states = out[:len(states)]
		for k, id := range out[len(states):] {
			stacks[k] = append(stacks[k], id)
		}
	}
	outAxes, _ := u.AttrInts("scan_output_axes")
	backwards, _ := u.AttrInts("scan_output_directions")
	return u.collect(states, stacks, outAxes, backwards)
}

// sequences finds the axis of each sequence and their common length.
func (u *unroll) sequences(seqs []ValueID) (axes []int, length int, err error) {
	given, _ := u.AttrInts("scan_input_axes")
	for k, id := range seqs {
		shape := u.TypeOf(id).Shape
		axis, err := normAxis(u.NodeCtx, entry(given, k), len(shape))
		if err != nil {
			return nil, 0, err
		}
		if k > 0 && shape[axis] != length {
			return nil, 0, badNode(u.NodeCtx, "sequences of %d and %d elements", length, shape[axis])
		}
		axes, length = append(axes, axis), shape[axis]
	}
	return axes, length, nil
}
