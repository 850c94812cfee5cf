package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// fuseRMSNorm recognises x/sqrt(mean x² + eps) over the last axis, with or without a scale, and puts the standard
// operator of opset 23 in its place. The normalised value may be rounded by a cast before it is scaled.
func fuseRMSNorm(p *ir) int {
	count := p.each(func(n *irNode) bool {
		if !n.is("Mul") {
			return false
		}
		for i := range 2 {
			if gamma := n.Inputs[1-i]; p.val(gamma).konst != nil && p.rmsNorm(n, n.Inputs[i], gamma) {
				return true
			}
		}
		return false
	})
	return count + p.each(func(n *irNode) bool {
		return (n.is("Mul") || n.is("Div")) && p.rmsNorm(n, n.Outputs[0], None)
	})
}

// rmsNorm replaces root when v is such a quotient; gamma is None where nothing scales it.
func (p *ir) rmsNorm(root *irNode, v, gamma ValueID) bool {
	x, root2 := p.quotientBySqrt(p.skipCast(v))
	if x == None {
		return false
	}
	square, eps, ok := p.plusConstant(root2)
	if !ok {
		return false
	}
	mean := p.meanOfLast(square)
	if mean == None || p.squareOf(mean) != p.skipCast(x) {
		return false
	}
	out := p.val(root.Outputs[0]).typ.DType
	x = p.withType(p.skipCast(x), out)
	n := p.lastDim(x)
	if !p.perLast(gamma, n) {
		return false
	}
	if gamma == None {
		gamma = p.ones(n, out)
	}
	attrs := map[string]Attr{"axis": IntAttr(-1), "epsilon": FloatAttr(float32(eps))}
	return p.replace(root, spec{op: "RMSNormalization", opset: 23, attrs: attrs, inputs: []ValueID{x, gamma}})
}

// ones is a constant vector of ones of a floating type.
func (p *ir) ones(n int, dt tensor.DType) ValueID {
	if dt == tensor.F64 {
		return p.addConst("ones", tensor.FromF64(slices.Repeat([]float64{1}, n), n))
	}
	id := p.addConst("ones", tensor.FromF32(slices.Repeat([]float32{1}, n), n))
	p.vals[id].typ.DType = dt
	return id
}

// plusConstant splits x + c into x and the number c.
func (p *ir) plusConstant(id ValueID) (x ValueID, c float64, ok bool) {
	add := p.def(p.skipCast(id), "Add")
	if add == nil {
		return None, 0, false
	}
	for i := range 2 {
		if c, ok := p.scalar(add.Inputs[1-i]); ok {
			return p.skipCast(add.Inputs[i]), c, true
		}
	}
	return None, 0, false
}
