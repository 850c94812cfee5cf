package graph

// fuseGEGLU recognises a·act(b) where a and b are the two halves of one tensor's last axis (a Split, or two Slices).
func fuseGEGLU(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Mul") {
			return false
		}
		for i := range 2 {
			act, src := p.activation(n.Inputs[1-i])
			if act == "" || !p.single(n.Inputs[1-i]) {
				continue
			}
			x, half, ok := p.half(n.Inputs[i])
			y, other, okY := p.half(src)
			if !ok || !okY || x != y || half == other {
				continue
			}
			attrs := map[string]Attr{"act": StringAttr(act)}
			if other == 0 {
				attrs["gate_first"] = IntAttr(1)
			}
			return p.replace(n, spec{op: "winnow.GEGLU", attrs: attrs, inputs: []ValueID{x}})
		}
		return false
	})
}

// activation names the activation that produced a value, and its operand; "" if it is none that kernels can fuse.
func (p *ir) activation(id ValueID) (act string, src ValueID) {
	n := p.val(id).def
	if n == nil || n.dead || len(n.Inputs) != 1 {
		return "", None
	}
	return n.activation(), n.Inputs[0]
}

// activation names a node as the act attribute of fused operators does, "" if it is no activation.
func (n *irNode) activation() string {
	if n.Domain == Domain {
		switch {
		case n.Op == "Silu":
			return "silu"
		case n.Op == "Gelu" && n.attrString("approximate", "none") == "tanh":
			return "gelu_tanh"
		case n.Op == "Gelu":
			return "gelu"
		case n.Op == "QuickGelu" && near(float64(n.attrFloat("alpha", 1.702)), 1.702):
			return "quick_gelu"
		}
		return ""
	}
	return map[string]string{"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}[n.Op]
}

// half recognises a value as the first (0) or second (1) half of src along the last axis.
func (p *ir) half(id ValueID) (src ValueID, which int, ok bool) {
	if id == None {
		return None, 0, false
	}
	n := p.val(id).def
	if n == nil || n.dead || canonicalDomain(n.Domain) != "" {
		return None, 0, false
	}
	switch n.Op {
	case "Split":
		return p.splitHalf(n, id)
	case "Slice":
		return p.sliceHalf(n, id)
	}
	return None, 0, false
}

func (p *ir) splitHalf(n *irNode, id ValueID) (ValueID, int, bool) {
	shape := p.shape(n.Inputs[0])
	axis := n.attrInt("axis", 0)
	if axis != -1 && axis != len(shape)-1 || len(n.Outputs) != 2 {
		return None, 0, false
	}
	if 2*p.lastDim(n.Outputs[0]) != shape[len(shape)-1] {
		return None, 0, false
	}
	if id == n.Outputs[1] {
		return n.Inputs[0], 1, true
	}
	return n.Inputs[0], 0, true
}

func (p *ir) sliceHalf(n *irNode, id ValueID) (ValueID, int, bool) {
	shape := p.shape(n.Inputs[0])
	if len(n.Inputs) < 4 || len(shape) == 0 {
		return None, 0, false
	}
	start, ok := p.scalar(n.Inputs[1])
	axis, okAxis := p.scalar(n.Inputs[3])
	step := 1.0
	if n.in(4) != None {
		var okStep bool
		if step, okStep = p.scalar(n.in(4)); !okStep {
			return None, 0, false
		}
	}
	last := len(shape) - 1
	if !ok || !okAxis || step != 1 || int(axis) != -1 && int(axis) != last || 2*p.lastDim(id) != shape[last] {
		return None, 0, false
	}
	switch int(start) {
	case 0:
		return n.Inputs[0], 0, true
	case shape[last] / 2, -shape[last] / 2:
		return n.Inputs[0], 1, true
	}
	return None, 0, false
}

// lastDim is the size of the last axis, 0 for scalars.
func (p *ir) lastDim(id ValueID) int {
	s := p.shape(id)
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1]
}
