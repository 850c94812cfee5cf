package graph

// plainConv returns the producer of a value if it is a 2-D convolution without activation or residual, read only here,
// whose padding is explicit.
func (p *ir) plainConv(id ValueID) *irNode {
	if !p.single(id) || len(p.shape(id)) != 4 {
		return nil
	}
	if n := p.defIn(id, Domain, "Conv"); n != nil && n.attrString("act", "") == "" && n.in(3) == None {
		return n
	}
	n := p.def(id, "Conv")
	if n == nil {
		return nil
	}
	if pad := n.attrString("auto_pad", "NOTSET"); pad != "NOTSET" && pad != "" {
		return nil
	}
	return n
}

func convAsFused(n *irNode) spec {
	return spec{op: "winnow.Conv", attrs: n.Attrs, inputs: []ValueID{n.in(0), n.in(1), n.in(2), n.in(3)}}
}

// convBias replaces root, the addition of a per-channel constant of any shape, by the convolution with that bias.
func (p *ir) convBias(root, conv *irNode, bias ValueID) bool {
	flat, ok := p.insertBefore(root, p.reshapeSpec(bias, []int{p.val(bias).typ.Elems()}))
	if !ok {
		return false
	}
	s := convAsFused(conv)
	s.inputs[2] = flat
	return p.replace(root, s)
}
