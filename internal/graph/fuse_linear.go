package graph

import "slices"

// fuseLinear turns matrix products whose operands are transposed, and Gemm, into the fused operator, which reads either
// operand in either orientation.
func fuseLinear(p *ir) int {
	return p.each(func(n *irNode) bool {
		switch {
		case n.is("Gemm"):
			return p.gemm(n)
		case n.is("MatMul"):
			return p.transposedProduct(n)
		}
		return false
	})
}

func (p *ir) gemm(n *irNode) bool {
	bias := n.in(2)
	if bias != None && (n.attrFloat("beta", 1) != 1 || !p.rowVector(bias, p.lastDim(n.Outputs[0]))) {
		return false
	}
	attrs := map[string]Attr{
		"trans_a": IntAttr(n.attrInt("transA", 0)), "trans_b": IntAttr(n.attrInt("transB", 0)),
		"alpha": FloatAttr(n.attrFloat("alpha", 1)),
	}
	if n.attrFloat("alpha", 1) != 1 && bias != None {
		return false // the fused operator scales the product before the bias as Gemm does, but nothing exports this
	}
	return p.replace(n, spec{op: "winnow.Linear", attrs: attrs, inputs: []ValueID{n.Inputs[0], n.Inputs[1], bias}})
}

func (p *ir) transposedProduct(n *irNode) bool {
	a, b := n.Inputs[0], n.Inputs[1]
	if len(p.shape(a)) < 2 || len(p.shape(b)) < 2 {
		return false
	}
	srcA, srcB := p.untransposed(a), p.untransposed(b)
	attrs := map[string]Attr{}
	if srcA != None && p.single(a) {
		a, attrs["trans_a"] = srcA, IntAttr(1)
	}
	if srcB != None {
		b, attrs["trans_b"] = srcB, IntAttr(1)
	}
	return len(attrs) > 0 && p.replace(n, spec{op: "winnow.Linear", attrs: attrs, inputs: []ValueID{a, b}})
}

// untransposed returns the source of a Transpose that swaps the last two axes only, None otherwise.
func (p *ir) untransposed(id ValueID) ValueID {
	n := p.def(id, "Transpose")
	if n == nil {
		return None
	}
	perm := slices.Clone(p.perm(n))
	if r := len(perm); r < 2 {
		return None
	} else {
		perm[r-1], perm[r-2] = perm[r-2], perm[r-1]
	}
	if !slices.IsSorted(perm) {
		return None
	}
	return n.Inputs[0]
}

// rowVector reports whether a value broadcasts as one vector of n elements along the last axis.
func (p *ir) rowVector(id ValueID, n int) bool {
	s := p.shape(id)
	return len(s) > 0 && s[len(s)-1] == n && p.val(id).typ.Elems() == n
}

// product returns the producer of a value if it is a matrix product without activation or residual, read only here.
func (p *ir) product(id ValueID) *irNode {
	if !p.single(id) {
		return nil
	}
	if n := p.defIn(id, Domain, "Linear"); n != nil && n.attrString("act", "") == "" && n.in(3) == None {
		return n
	}
	n := p.def(id, "MatMul")
	if n == nil || len(p.shape(n.Inputs[0])) < 2 || len(p.shape(n.Inputs[1])) < 2 {
		return nil
	}
	return n
}

// linearAsFused describes the product as a fused operator.
func linearAsFused(n *irNode) spec {
	s := spec{op: "winnow.Linear", inputs: []ValueID{n.in(0), n.in(1), n.in(2), n.in(3)}}
	if n.Domain == Domain {
		s.attrs = n.Attrs
	}
	return s
}

// fuseScale moves a constant factor after a product without bias into the product.
func fuseScale(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Mul") && !n.is("Div") {
			return false
		}
		x, c := p.scaled(n.Outputs[0])
		prod := p.product(x)
		if c == 1 || prod == nil || prod.in(2) != None {
			return false
		}
		s := linearAsFused(prod)
		s.attrs = withAttr(s.attrs, "alpha", FloatAttr(float32(c*float64(prod.attrFloat("alpha", 1)))))
		return p.replace(n, s)
	})
}

// fuseBias moves the addition of a vector after a product or a convolution into it.
func fuseBias(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Add") {
			return false
		}
		for i := range 2 {
			x, bias := n.Inputs[i], n.Inputs[1-i]
			if prod := p.product(x); prod != nil && prod.in(2) == None && p.rowVector(bias, p.lastDim(x)) {
				s := linearAsFused(prod)
				s.inputs[2] = bias
				return p.replace(n, s)
			}
			if conv := p.plainConv(x); conv != nil && conv.in(2) == None && p.val(bias).konst != nil && p.perChannel(bias, p.shape(x)) {
				return p.convBias(n, conv, bias)
			}
		}
		return false
	})
}
