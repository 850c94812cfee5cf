package graph

// normalised is an input brought to mean 0 and variance 1 (or to mean square 1) along some axes.
type normalised struct {
	b     *Backward
	hat   ValueID // the normalised input
	scale ValueID // 1/√(variance + ε), size 1 along the axes
	axes  []int
	rms   bool // no mean is taken off
}

// normalise repeats what the operator did to x.
func (b *Backward) normalise(x ValueID, axes []int, eps float64, rms bool) normalised {
	if !rms {
		x = b.sub(x, b.ReduceMean(x, true, axes...))
	}
	variance := b.ReduceMean(b.square(x), true, axes...)
	scale := b.Op("Reciprocal", b.Op("Sqrt", b.plus(variance, eps)))
	return normalised{b, b.mul(x, scale), scale, axes, rms}
}

// grad takes the cotangent of the normalised input back to the input: (g - mean(g) - x̂·mean(g·x̂))·scale, without
// mean(g) when no mean was taken off.
func (n normalised) grad(g ValueID) ValueID {
	b := n.b
	d := b.sub(g, b.mul(n.hat, b.ReduceMean(b.mul(g, n.hat), true, n.axes...)))
	if !n.rms {
		d = b.sub(d, b.ReduceMean(g, true, n.axes...))
	}
	return b.mul(d, n.scale)
}

func layerNormVJP(b *Backward) error {
	if b.G(1) != None || b.G(2) != None {
		return b.Refuse("", "the gradient through its outputs Mean and InvStdDev is not implemented")
	}
	return rowNormVJP(b, false)
}

func rmsNormVJP(b *Backward) error { return rowNormVJP(b, true) }

// rowNormVJP serves normalisations over the dimensions from attribute axis on, with scale (input 1) and bias (input 2).
func rowNormVJP(b *Backward, rms bool) error {
	if b.In[0].Elems() == 0 {
		return nil
	}
	if b.fusable() && (b.Needs(0) || b.Needs(1)) {
		fusedRowNormVJP(b, rms)
		return nil
	}
	axis, _, _, err := normRows(b.NodeCtx)
	if err != nil {
		return err
	}
	if b.Needs(0) || b.Needs(1) {
		n := b.normalise(b.X(0), upTo(axis, len(b.In[0].Shape)), float64(b.AttrFloat("epsilon", 1e-5)), rms)
		if b.Needs(0) {
			b.Give(0, n.grad(b.mul(b.G(0), b.cast(b.X(1), b.In[0].DType))))
		}
		if b.Needs(1) {
			b.giveAs(1, b.SumTo(b.mul(b.G(0), n.hat), b.In[1].Shape))
		}
	}
	if b.Needs(2) {
		b.giveAs(2, b.SumTo(b.G(0), b.In[2].Shape))
	}
	return nil
}

// fusedRowNormVJP asks for as many results as are wanted.
func fusedRowNormVJP(b *Backward, rms bool) {
	outs := 1
	for i := range b.In {
		if i > 0 && b.Needs(i) {
			outs = i + 1
		}
	}
	attrs := withAttr(b.Node.Attrs, "rms", boolAttr(rms))
	grads := b.OpN("winnow.LayerNormGrad", attrs, outs, b.X(0), b.X(1), b.G(0))
	for i, g := range grads {
		if b.Needs(i) {
			b.giveAs(i, b.Reshape(g, b.In[i].Shape...))
		}
	}
}

// giveAs is Give for an input whose floating type may be another than the node's.
func (b *Backward) giveAs(i int, g ValueID) { b.Give(i, b.cast(g, b.In[i].DType)) }
