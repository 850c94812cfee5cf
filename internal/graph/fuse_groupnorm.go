package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// fuseGroupNorm recognises group normalisation: the operator of opset 21, and the form of exporters before it, a
// Reshape to [N,G,…], an InstanceNormalization without own scale, a Reshape back, and usually a Mul and an Add per channel.
func fuseGroupNorm(p *ir) int {
	count := p.each(func(n *irNode) bool {
		if n.is("GroupNormalization") && n.Opset >= 21 {
			return p.standardGroupNorm(n)
		}
		x, gamma, beta, ok := p.affine(n)
		return ok && p.groupNorm(n, x, gamma, beta)
	})
	return count + p.each(func(n *irNode) bool {
		return isViewOp(n) && p.groupNorm(n, n.Outputs[0], None, None)
	})
}

func (p *ir) standardGroupNorm(n *irNode) bool {
	attrs := map[string]Attr{
		"num_groups": IntAttr(n.attrInt("num_groups", 0)), "epsilon": FloatAttr(n.attrFloat("epsilon", 1e-5)),
	}
	return p.replace(n, spec{op: "winnow.GroupNorm", attrs: attrs, inputs: n.Inputs})
}

// affine splits a node into x·gamma + beta with constant gamma and beta.
func (p *ir) affine(n *irNode) (x, gamma, beta ValueID, ok bool) {
	if !n.is("Add") {
		return None, None, None, false
	}
	for i := range 2 {
		beta = n.Inputs[1-i]
		mul := p.def(p.skipCast(n.Inputs[i]), "Mul")
		if mul == nil || p.val(beta).konst == nil {
			continue
		}
		for j := range 2 {
			if gamma = mul.Inputs[1-j]; p.val(gamma).konst != nil {
				return mul.Inputs[j], gamma, beta, true
			}
		}
	}
	return None, None, None, false
}

// groupNorm replaces root if v is the normalised tensor in its original shape.
func (p *ir) groupNorm(root *irNode, v, gamma, beta ValueID) bool {
	back := p.viewOf(p.skipCast(v))
	if back == nil {
		return false
	}
	inst := p.def(p.skipCast(back.Inputs[0]), "InstanceNormalization")
	if inst == nil || !p.allEqual(inst.Inputs[1], 1) || !p.allEqual(inst.Inputs[2], 0) {
		return false
	}
	there := p.viewOf(p.skipCast(inst.Inputs[0]))
	if there == nil {
		return false
	}
	x := p.withType(there.Inputs[0], p.val(root.Outputs[0]).typ.DType)
	shape, grouped := p.shape(x), p.shape(inst.Inputs[0])
	if len(shape) < 2 || len(grouped) < 3 || !slices.Equal(shape, p.shape(root.Outputs[0])) {
		return false
	}
	if grouped[0] != shape[0] || grouped[1] == 0 || shape[1]%grouped[1] != 0 {
		return false
	}
	if gamma != None && !(p.perChannel(gamma, shape) && p.perChannel(beta, shape)) {
		return false
	}
	attrs := map[string]Attr{
		"num_groups": IntAttr(grouped[1]), "epsilon": FloatAttr(inst.attrFloat("epsilon", 1e-5)),
	}
	return p.replace(root, spec{op: "winnow.GroupNorm", attrs: attrs, inputs: []ValueID{x, gamma, beta}})
}

// perChannel reports whether a value broadcasts over shape along axis 1 only and has every channel.
func (p *ir) perChannel(id ValueID, shape []int) bool {
	s := p.shape(id)
	axis := 1 - (len(shape) - len(s))
	if axis < 0 || axis >= len(s) || s[axis] != shape[1] {
		return false
	}
	return p.val(id).typ.Elems() == shape[1]
}

// allEqual reports whether every element of a float constant is v.
func (p *ir) allEqual(id ValueID, v float32) bool {
	if id == None || p.val(id).konst == nil || p.val(id).typ.Storage() != tensor.F32 {
		return false
	}
	for _, x := range p.val(id).konst.Float32s() {
		if x != v {
			return false
		}
	}
	return true
}
