package graph

import "slices"

// fuseNormActivation moves an activation into the group normalisation before it, when nothing else reads the
// intermediate value. Going back through the two needs their input only.
func fuseNormActivation(p *ir) int {
	return p.each(func(n *irNode) bool {
		act := n.activation()
		if act == "" || len(n.Inputs) != 1 {
			return false
		}
		gn := p.defIn(n.Inputs[0], Domain, "GroupNorm")
		if gn == nil || !p.single(n.Inputs[0]) || gn.attrString("act", "") != "" {
			return false
		}
		return p.replace(n, spec{op: "winnow.GroupNorm", attrs: withAttr(gn.Attrs, "act", StringAttr(act)), inputs: gn.Inputs})
	})
}

// fuseActivation moves an activation into the product or convolution before it, when nothing else reads the intermediate
// value.
func fuseActivation(p *ir) int {
	return p.each(func(n *irNode) bool {
		act := n.activation()
		if act == "" || len(n.Inputs) != 1 {
			return false
		}
		x := n.Inputs[0]
		var s spec
		if prod := p.product(x); prod != nil {
			s = linearAsFused(prod)
		} else if conv := p.plainConv(x); conv != nil {
			s = convAsFused(conv)
		} else {
			return false
		}
		s.attrs = withAttr(s.attrs, "act", StringAttr(act))
		return p.replace(n, s)
	})
}

// fuseResidual moves the addition of a tensor of the same shape into the product or convolution that made the other
// operand. Of two candidates the later one takes it: the other's result is complete by then.
func fuseResidual(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Add") || n.Inputs[0] == n.Inputs[1] {
			return false
		}
		if !slices.Equal(p.shape(n.Inputs[0]), p.shape(n.Inputs[1])) {
			return false
		}
		order := []int{0, 1}
		if p.position(n.Inputs[1]) > p.position(n.Inputs[0]) {
			order = []int{1, 0}
		}
		for _, i := range order {
			if s, ok := p.residualInto(n.Inputs[i]); ok {
				s.inputs[3] = n.Inputs[1-i]
				return p.replace(n, s)
			}
		}
		return false
	})
}

// residualInto describes the producer of a value if it can add a residual; an activation comes before the addition.
func (p *ir) residualInto(id ValueID) (spec, bool) {
	if !p.single(id) {
		return spec{}, false
	}
	n := p.val(id).def
	switch {
	case n == nil || n.dead || n.in(3) != None:
		return spec{}, false
	case n.fused("Linear"), n.is("MatMul") && p.product(id) != nil:
		return linearAsFused(n), true
	case n.fused("Conv"), n.is("Conv") && p.plainConv(id) != nil:
		return convAsFused(n), true
	}
	return spec{}, false
}

// position is the place of a value's producer in the order, -1 for inputs and constants.
func (p *ir) position(id ValueID) int {
	if p.val(id).def == nil {
		return -1
	}
	return slices.Index(p.nodes, p.val(id).def)
}
