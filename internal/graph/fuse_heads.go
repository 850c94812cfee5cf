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
	t := p.def(n.Inputs[i], "Transpose")
	if t == nil || !slices.Equal(p.perm(t), headPerm) {
		return false
	}
	inputs := slices.Clone(n.Inputs)
	inputs[i] = t.Inputs[0]
	return p.replace(n, spec{op: "winnow.Attention", inputs: inputs, attrs: withAttr(n.Attrs, layout, StringAttr(layoutBSHD))})
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
