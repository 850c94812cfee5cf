package graph

// gatherAt reads the elements of x that the scatter writes.
func (b *Backward) gatherAt(x ValueID) ValueID {
	if b.Node.Op == "ScatterND" {
		return b.Op("GatherND", x, b.X(1))
	}
	return b.OpA("GatherElements", map[string]Attr{"axis": IntAttr(int(b.AttrInt("axis", 0)))}, x, b.X(1))
}

// scatterOver is the node's operator over other operands with another reduction ("" for none).
func (b *Backward) scatterOver(reduction string, data, updates ValueID) ValueID {
	attrs := map[string]Attr{}
	if b.Node.Op == "ScatterElements" {
		attrs["axis"] = IntAttr(int(b.AttrInt("axis", 0)))
	}
	if reduction != "" {
		attrs["reduction"] = StringAttr(reduction)
	}
	return b.OpA(b.Node.Op, attrs, data, b.X(1), updates)
}

// scatterVJP: updates that replace cut the cotangent of what they replace off; updates that are added leave it. Where
// updates repeat without a reduction the result is not defined, nor is the gradient.
func scatterVJP(b *Backward) error {
	g := b.G(0)
	switch b.AttrString("reduction", "none") {
	case "none":
		if b.Needs(0) {
			b.Give(0, b.scatterOver("", g, b.zerosOf(b.In[2].DType, b.In[2].Shape...)))
		}
		if b.Needs(2) {
			b.Give(2, b.gatherAt(g))
		}
	case "add":
		b.Give(0, g)
		if b.Needs(2) {
			b.Give(2, b.gatherAt(g))
		}
	case "mul":
		scatterMulVJP(b)
	default:
		scatterExtremeVJP(b)
	}
	return nil
}

// scatterMulVJP: the data gets g times the product of the updates, an update g times the product of data and the other
// updates, with care for updates of zero as in reduceProdGrad.
func scatterMulVJP(b *Backward) {
	g, updates := b.G(0), b.X(2)
	if b.Needs(0) {
		b.Give(0, b.scatterOver("mul", g, updates))
	}
	if !b.Needs(2) {
		return
	}
	zero := b.Op("Equal", updates, b.num(0))
	others := b.where(zero, b.num(1), updates)
	count := b.gatherAt(b.scatterOver("add", b.zerosOf(b.In[0].DType, b.In[0].Shape...), b.indicator(zero)))
	p := b.gatherAt(b.mul(g, b.scatterOver("mul", b.X(0), others)))
	toZero := b.keepIf(b.Op("Equal", count, b.num(1)), p)
	toOthers := b.keepIf(b.Op("Equal", count, b.num(0)), p)
	b.Give(2, b.where(zero, toZero, b.div(toOthers, others)))
}

// scatterExtremeVJP sends the cotangent to whatever is the minimum or maximum, in equal parts when that is several.
func scatterExtremeVJP(b *Backward) {
	kept := b.indicator(b.Op("Equal", b.X(0), b.Y(0)))
	written := b.indicator(b.Op("Equal", b.X(2), b.gatherAt(b.Y(0))))
	share := b.div(b.G(0), b.scatterOver("add", kept, written))
	if b.Needs(0) {
		b.Give(0, b.mul(kept, share))
	}
	if b.Needs(2) {
		b.Give(2, b.mul(written, b.gatherAt(share)))
	}
}
