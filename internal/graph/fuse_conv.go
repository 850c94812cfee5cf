package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// fuseConvWeights lets convolutions pack constant weights straight from [O,kH,kW,I], as channels-last exports store them:
// no transposed copy is made, and the packed form is shared between programs.
func fuseConvWeights(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.fused("Conv") && !(n.is("Conv") && explicitPadding(n)) {
			return false
		}
		t := p.def(n.Inputs[1], "Transpose")
		if t == nil || !slices.Equal(p.perm(t), []int{0, 3, 1, 2}) {
			return false
		}
		if w := p.val(t.Inputs[0]); w.konst == nil || w.typ.Storage() != tensor.F32 {
			return false
		}
		s := convAsFused(n)
		s.inputs[1], s.attrs = t.Inputs[0], withAttr(n.Attrs, "w_layout", StringAttr(layoutOHWI))
		return p.replace(n, s)
	})
}

// explicitPadding reports whether attribute auto_pad is off.
func explicitPadding(n *irNode) bool {
	pad := n.attrString("auto_pad", "NOTSET")
	return pad == "NOTSET" || pad == ""
}

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
	if n == nil || !explicitPadding(n) {
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
