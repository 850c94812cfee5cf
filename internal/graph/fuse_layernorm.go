package graph

import "slices"

// fuseLayerNorm recognises layer normalisation over the last axis written as mean, difference, mean of squares, square
// root and quotient, with or without scale and shift, and puts the standard operator of opset 17 in its place.
func fuseLayerNorm(p *ir) int {
	count := p.each(func(n *irNode) bool {
		x, gamma, beta, ok := p.affine(n)
		return ok && p.layerNorm(n, x, gamma, beta)
	})
	count += p.each(func(n *irNode) bool { return p.scaledNorm(n) })
	return count + p.each(func(n *irNode) bool {
		return (n.is("Div") || n.is("Mul")) && p.layerNorm(n, n.Outputs[0], None, None)
	})
}

// scaledNorm matches normalisation with a scale but no shift.
func (p *ir) scaledNorm(n *irNode) bool {
	if !n.is("Mul") {
		return false
	}
	for i := range 2 {
		if gamma := n.Inputs[1-i]; p.val(gamma).konst != nil && p.layerNorm(n, n.Inputs[i], gamma, None) {
			return true
		}
	}
	return false
}

func (p *ir) layerNorm(root *irNode, v, gamma, beta ValueID) bool {
	x, eps, ok := p.normalized(p.skipCast(v))
	if !ok {
		return false
	}
	out := p.val(root.Outputs[0]).typ
	x = p.withType(x, out.DType)
	n := p.lastDim(x)
	if !slices.Equal(p.shape(x), out.Shape) || !p.perLast(beta, n) || !p.perLast(gamma, n) {
		return false
	}
	if gamma == None {
		gamma = p.ones(n, out.DType)
	}
	attrs := map[string]Attr{"axis": IntAttr(-1), "epsilon": FloatAttr(float32(eps))}
	return p.replace(root, spec{op: "LayerNormalization", opset: 17, attrs: attrs, inputs: []ValueID{x, gamma, beta}})
}

// perLast reports whether an optional operand is a vector over the last axis.
func (p *ir) perLast(id ValueID, n int) bool {
	if id == None {
		return true
	}
	s := p.shape(id)
	return len(s) == 1 && s[0] == n
}

// normalized reads a value as (x − mean x)/sqrt(var x + eps) over the last axis.
func (p *ir) normalized(id ValueID) (x ValueID, eps float64, ok bool) {
	diff, root := p.quotientBySqrt(id)
	if diff == None {
		return None, 0, false
	}
	variance, eps, ok := p.plusConstant(root)
	diff = p.skipCast(diff)
	sub := p.def(diff, "Sub")
	if !ok || sub == nil {
		return None, 0, false
	}
	if m := p.meanOfLast(sub.Inputs[1]); m == None || p.skipCast(m) != p.skipCast(sub.Inputs[0]) {
		return None, 0, false
	}
	if sq := p.meanOfLast(variance); sq == None || p.squareOf(sq) != diff {
		return None, 0, false
	}
	return sub.Inputs[0], eps, true
}

// quotientBySqrt splits a/sqrt(b) or a·(1/sqrt(b)) into a and b. The TorchScript exporter writes the reciprocal as a
// quotient of one.
func (p *ir) quotientBySqrt(id ValueID) (a, b ValueID) {
	if n := p.def(id, "Div"); n != nil {
		if s := p.def(p.skipCast(n.Inputs[1]), "Sqrt"); s != nil {
			return n.Inputs[0], s.Inputs[0]
		}
	}
	n := p.def(id, "Mul")
	if n == nil {
		return None, None
	}
	for i := range 2 {
		if s := p.def(p.reciprocalOf(p.skipCast(n.Inputs[1-i])), "Sqrt"); s != nil {
			return n.Inputs[i], s.Inputs[0]
		}
	}
	return None, None
}

// reciprocalOf returns x if a value is 1/x, None otherwise.
func (p *ir) reciprocalOf(id ValueID) ValueID {
	if n := p.def(id, "Reciprocal"); n != nil {
		return n.Inputs[0]
	}
	if n := p.def(id, "Div"); n != nil && p.allEqual(n.Inputs[0], 1) {
		return p.skipCast(n.Inputs[1])
	}
	return None
}

// meanOfLast returns what a value is the mean of over the last axis (kept with size one), None if it is no such mean.
func (p *ir) meanOfLast(id ValueID) ValueID {
	n := p.def(p.skipCast(id), "ReduceMean")
	if n == nil || n.attrInt("keepdims", 1) != 1 {
		return None
	}
	axes := n.attrInts("axes")
	if n.in(1) != None {
		v, ok := p.scalar(n.in(1))
		if !ok {
			return None
		}
		axes = []int{int(v)}
	}
	rank := len(p.shape(n.Inputs[0]))
	if len(axes) != 1 || axes[0] != -1 && axes[0] != rank-1 {
		return None
	}
	return n.Inputs[0]
}

// squareOf returns x if a value is x², None otherwise.
func (p *ir) squareOf(id ValueID) ValueID {
	id = p.skipCast(id)
	if n := p.def(id, "Pow"); n != nil {
		if e, ok := p.scalar(n.Inputs[1]); ok && e == 2 {
			return p.skipCast(n.Inputs[0])
		}
	}
	if n := p.def(id, "Mul"); n != nil && n.Inputs[0] == n.Inputs[1] {
		return p.skipCast(n.Inputs[0])
	}
	return None
}
