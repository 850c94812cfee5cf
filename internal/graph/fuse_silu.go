package graph

// fuseSilu recognises x·sigmoid(x) and x·sigmoid(c·x).
func fuseSilu(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Mul") {
			return false
		}
		for i := range 2 {
			x := n.Inputs[i]
			s := p.def(p.skipCast(n.Inputs[1-i]), "Sigmoid")
			if s == nil {
				continue
			}
			arg, c := p.scaled(p.skipCast(s.Inputs[0]))
			if p.skipCast(arg) != p.skipCast(x) {
				continue
			}
			if c == 1 {
				return p.replace(n, spec{op: "winnow.Silu", inputs: []ValueID{x}})
			}
			attrs := map[string]Attr{"alpha": FloatAttr(float32(c))}
			return p.replace(n, spec{op: "winnow.QuickGelu", attrs: attrs, inputs: []ValueID{x}})
		}
		return false
	})
}
