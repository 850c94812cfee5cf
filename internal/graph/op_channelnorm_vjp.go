package graph

// perChannel shapes a vector with one entry per channel so that it broadcasts over [N, C, ...].
func (b *Backward) perChannel(v ValueID) ValueID {
	shape := []int{b.In[0].Shape[1]}
	for range b.In[0].Shape[2:] {
		shape = append(shape, 1)
	}
	return b.Reshape(b.cast(v, b.In[0].DType), shape...)
}

// overChannels adds up everything but the channels of [N, C, ...].
func (b *Backward) overChannels(x ValueID) ValueID {
	return b.ReduceSum(x, false, append([]int{0}, upTo(2, len(b.In[0].Shape))...)...)
}

// instanceNormVJP is a group normalisation with one channel per group.
func instanceNormVJP(b *Backward) error { return groupsVJP(b, b.In[0].Shape[1], false) }

func groupNormVJP(b *Backward) error {
	groups := int(b.AttrInt("num_groups", 1))
	return groupsVJP(b, groups, b.Node.Opset < 21 && groups != b.In[0].Shape[1])
}

// groupsVJP normalises [N, groups, rest]. Scale and bias have an entry per channel, or per group.
func groupsVJP(b *Backward, groups int, perGroup bool) error {
	in := b.In[0].Shape
	if b.In[0].Elems() == 0 {
		return nil
	}
	if b.fusable() && !perGroup {
		attrs := map[string]Attr{"num_groups": IntAttr(groups), "epsilon": FloatAttr(b.AttrFloat("epsilon", 1e-5))}
		grads := b.OpN("winnow.GroupNormGrad", attrs, 3, b.X(0), b.X(1), b.X(2), b.G(0))
		for i, g := range grads {
			b.Give(i, b.Reshape(g, b.In[i].Shape...))
		}
		return nil
	}
	split := []int{in[0], groups, b.In[0].Elems() / (in[0] * groups)}
	scaled := func(g ValueID) ValueID { return b.Reshape(b.mul(g, b.perChannel(b.X(1))), split...) }
	sum := b.overChannels
	if perGroup {
		scaled = func(g ValueID) ValueID { return b.mul(b.Reshape(g, split...), b.Reshape(b.X(1), groups, 1)) }
		sum = func(x ValueID) ValueID { return b.ReduceSum(b.Reshape(x, split...), false, 0, 2) }
	}
	if b.Needs(0) || b.Needs(1) {
		n := b.normalise(b.Reshape(b.X(0), split...), []int{2}, float64(b.AttrFloat("epsilon", 1e-5)), false)
		if b.Needs(0) {
			b.Give(0, b.Reshape(n.grad(scaled(b.G(0))), in...))
		}
		if b.Needs(1) {
			b.Give(1, b.Reshape(sum(b.mul(b.G(0), b.Reshape(n.hat, in...))), b.In[1].Shape...))
		}
	}
	if b.Needs(2) {
		b.Give(2, b.Reshape(sum(b.G(0)), b.In[2].Shape...))
	}
	return nil
}

// batchNormVJP covers inference, y = (x - mean)·scale/√(variance + ε) + bias, where all five are inputs.
func batchNormVJP(b *Backward) error {
	if trainingMode(b.NodeCtx) {
		return b.Refuse("training_mode", "the gradient of a normalisation in training mode")
	}
	g := b.G(0)
	deviation := b.Op("Sqrt", b.plus(b.cast(b.X(4), b.In[0].DType), float64(b.AttrFloat("epsilon", 1e-5))))
	factor := b.div(b.cast(b.X(1), b.In[0].DType), deviation)
	if b.Needs(0) {
		b.Give(0, b.mul(g, b.perChannel(factor)))
	}
	sum := None
	if b.Needs(2) || b.Needs(3) {
		sum = b.overChannels(g)
	}
	if b.Needs(2) {
		b.giveAs(2, sum)
	}
	if b.Needs(3) {
		b.giveAs(3, b.Op("Neg", b.mul(sum, factor)))
	}
	if !b.Needs(1) && !b.Needs(4) {
		return nil
	}
	along := b.div(b.overChannels(b.mul(g, b.sub(b.X(0), b.perChannel(b.X(3))))), deviation)
	if b.Needs(1) {
		b.giveAs(1, along)
	}
	if b.Needs(4) {
		b.giveAs(4, b.Scale(b.div(b.mul(along, factor), deviation), -0.5))
	}
	return nil
}
