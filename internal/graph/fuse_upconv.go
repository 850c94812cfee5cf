package graph

import "slices"

// fuseUpConv lets a 3×3 convolution do the doubling of the picture before it: it then sees the small picture only, and takes four
// multiplications for nine.
func fuseUpConv(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !p.upConv(n) {
			return false
		}
		up := p.def(n.Inputs[0], "Resize")
		if up == nil || !p.single(n.Inputs[0]) || !p.doubles(up) {
			return false
		}
		return p.replace(n, spec{op: "winnow.UpConv", inputs: []ValueID{up.Inputs[0], n.Inputs[1], n.in(2)}})
	})
}

// upConv reports whether a node is a 3×3 convolution with constant weights that keeps the size of a picture.
func (p *ir) upConv(n *irNode) bool {
	plain := n.is("Conv") && explicitPadding(n) || n.fused("Conv") && n.attrString("act", "") == "" && n.attrString("w_layout", "") == ""
	if !plain || n.in(3) != None || !p.upWeights(n.Inputs[1]) {
		return false
	}
	ones := func(name string) bool { v := n.attrInts(name); return v == nil || slices.Equal(v, []int{1, 1}) }
	return slices.Equal(n.attrInts("pads"), []int{1, 1, 1, 1}) && ones("strides") && ones("dilations") && n.attrInt("group", 1) == 1
}

// doubles reports whether a Resize shows every pixel of its pictures twice along both axes and nothing else.
func (p *ir) doubles(n *irNode) bool {
	r, err := planResize(p.context(n))
	s := p.shape(n.Inputs[0])
	if err != nil || len(s) != 4 || !r.keeps(0, s[0]) || !r.keeps(1, s[1]) {
		return false
	}
	return r.wholeFactor(2, s[2]) == 2 && r.wholeFactor(3, s[3]) == 2
}
