package graph

func init() { registerMicrosoft("BiasSplitGelu", lowerBiasSplitGelu) }

// lowerBiasSplitGelu is GEGLU with its bias: for h = X + bias [..., 2n], y = a·gelu(b) with a the first and b the second
// half of h.
func lowerBiasSplitGelu(l *Lowering) error {
	if err := checkBias(l, 2, 2); err != nil {
		return err
	}
	n := l.In[1].Shape[0]
	if n%2 != 0 {
		return badInput(l.NodeCtx, 0, "of shape %v has no even last dimension", l.In[0].Shape)
	}
	halves := l.Split(l.Op("Add", l.Arg(0), l.Arg(1)), -1, n/2, n/2)
	l.Result(0, l.Op("Mul", halves[0], l.gelu(halves[1], "none")))
	return nil
}

// checkBias checks a node with lo to hi inputs: floating data, and a vector over its last axis as input 1 if present.
func checkBias(l *Lowering, lo, hi int) error {
	if err := checkArity(l.NodeCtx, lo, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkSameType(l.NodeCtx, 0, hi); err != nil {
		return err
	}
	shape := l.In[0].Shape
	if !l.Has(1) {
		return nil
	}
	if len(shape) == 0 {
		return badInput(l.NodeCtx, 0, "is a scalar and takes no bias")
	}
	return checkShape(l.NodeCtx, 1, shape[len(shape)-1])
}
