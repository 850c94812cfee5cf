package graph

import "slices"

// fuseHeads lets attention read its operands and write its result where the projections have them, as [B,S,H,D], so that
// the transposes that split and merge heads vanish.
func fuseHeads(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.fused("Attention") {
			return false
		}
		changed := false
		for i, layout := range []string{"q_layout", "k_layout", "v_layout"} {
			if p.absorbSplit(n, i, layout) {
				changed = true
			}
		}
		return p.absorbMerge(n) || changed
	})
}

// headPerm swaps the head and token axes; it is its own inverse.
var headPerm = []int{0, 2, 1, 3}

// absorbSplit makes operand i read the source of its head-splitting transpose.
func (p *ir) absorbSplit(n *irNode, i int, layout string) bool {
	if n.attrString(layout, layoutBHSD) != layoutBHSD {
		return false
	}
	inputs := slices.Clone(n.Inputs)
	var ok bool
	if inputs[i], ok = p.beforeSplit(n.Inputs[i]); !ok {
		return false
	}
	return p.replace(n, spec{op: "winnow.Attention", inputs: inputs, attrs: withAttr(n.Attrs, layout, StringAttr(layoutBSHD))})
}

// beforeSplit returns a value as [B,S,H,D] that is here as [B,H,S,D]: the source of the transpose that split the heads,
// also through a norm of each head's vectors and through the joining of token sequences (joint attention), which are
// moved ahead of the transposes then.
func (p *ir) beforeSplit(id ValueID) (ValueID, bool) {
	if !p.splitsHeads(id, true) {
		return None, false
	}
	n := p.val(id).def
	if n.is("Transpose") {
		return n.Inputs[0], true
	}
	moved := spec{op: n.Op, opset: n.Opset, attrs: n.Attrs, inputs: slices.Clone(n.Inputs)}
	parts := n.Inputs[:1]
	if n.is("Concat") {
		parts = n.Inputs
		moved.attrs = withAttr(n.Attrs, "axis", IntAttr(1))
	}
	for i, in := range parts {
		var ok bool
		if moved.inputs[i], ok = p.beforeSplit(in); !ok {
			return None, false
		}
	}
	return p.insertBefore(n, moved)
}

// splitsHeads reports whether head-splitting transposes made a value, as beforeSplit describes. Operators between them
// and the attention must have no other reader, otherwise they would be computed twice.
func (p *ir) splitsHeads(id ValueID, last bool) bool {
	n := p.val(id).def
	switch {
	case n == nil || n.dead || len(p.shape(id)) != 4:
		return false
	case n.is("Transpose"):
		return slices.Equal(p.perm(n), headPerm)
	case !p.single(id):
		return false
	case n.is("RMSNormalization") || n.is("LayerNormalization"):
		axis := n.attrInt("axis", -1)
		return len(n.Outputs) == 1 && (axis == -1 || axis == 3) && p.splitsHeads(n.Inputs[0], false)
	case n.is("Concat") && last:
		axis := n.attrInt("axis", 0)
		return (axis == 2 || axis == -2) && !slices.ContainsFunc(n.Inputs, func(in ValueID) bool { return !p.splitsHeads(in, false) })
	}
	return false
}

// absorbMerge makes the result come out as the head-merging transpose would give it.
func (p *ir) absorbMerge(n *irNode) bool {
	out := n.Outputs[0]
	if n.attrString("o_layout", layoutBHSD) != layoutBHSD || !p.single(out) {
		return false
	}
	users := p.users(out)
	if len(users) != 1 || !users[0].is("Transpose") || !slices.Equal(p.perm(users[0]), headPerm) {
		return false
	}
	merged, ok := p.insertBefore(users[0], spec{
		op: "winnow.Attention", inputs: n.Inputs, attrs: withAttr(n.Attrs, "o_layout", StringAttr(layoutBSHD)),
	})
	return ok && p.reshapeTo(users[0], merged)
}
