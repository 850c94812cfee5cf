package graph

func init() {
	registerMicrosoft("SkipLayerNormalization", lowerSkipLayerNorm)
	registerMicrosoft("SkipSimplifiedLayerNormalization", lowerSkipSimplifiedLayerNorm)
}

// skipEpsilon is the default of attribute epsilon here; the standard operators have 1e-5.
const skipEpsilon = 1e-12

// lowerSkipLayerNorm normalises input + skip + bias over the last axis: inputs input, skip, gamma, beta, bias; outputs the
// result, mean, 1/deviation, the sum.
func lowerSkipLayerNorm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 5, 1, 4); err != nil {
		return err
	}
	sum, err := skipSum(l, 4, 2, 3)
	if err != nil {
		return err
	}
	outs := 1
	if l.Wants(1) || l.Wants(2) {
		outs = 3
	}
	attrs := map[string]Attr{"axis": IntAttr(-1), "epsilon": FloatAttr(l.AttrFloat("epsilon", skipEpsilon))}
	for i, id := range l.OpN("LayerNormalization", attrs, outs, sum, l.Arg(2), l.Arg(3)) {
		l.Result(i, id)
	}
	l.Result(3, sum)
	return nil
}

// lowerSkipSimplifiedLayerNorm divides input + skip + bias by its root mean square: inputs input, skip, gamma, bias.
func lowerSkipSimplifiedLayerNorm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 4, 1, 4); err != nil {
		return err
	}
	if err := refuseOutputs(l, "statistics for training", 1, 2); err != nil {
		return err
	}
	sum, err := skipSum(l, 3, 2)
	if err != nil {
		return err
	}
	l.Result(0, l.rmsNorm(sum, l.Arg(2), len(l.In[0].Shape)-1, l.AttrFloat("epsilon", skipEpsilon)))
	l.Result(3, sum)
	return nil
}

// skipSum checks the operands and adds input 0, skip (input 1) and the vector bias (input number bias); vectors lists the
// other inputs that have one entry per channel. skip may lack the batch axis.
func skipSum(l *Lowering, bias int, vectors ...int) (ValueID, error) {
	if err := checkFloats(l.NodeCtx, 0); err != nil {
		return None, err
	}
	if err := checkSameType(l.NodeCtx, 0, len(l.In)); err != nil {
		return None, err
	}
	if err := checkRank(l.NodeCtx, 0, 2, 3); err != nil {
		return None, err
	}
	x, skip := l.In[0].Shape, l.In[1].Shape
	if s, ok := broadcastShape(x, skip); !ok || !equalShape(s, x) || len(skip) == 0 || skip[len(skip)-1] != x[len(x)-1] {
		return None, badInput(l.NodeCtx, 1, "of shape %v does not fit an input of shape %v", skip, x)
	}
	for _, i := range append(vectors, bias) {
		if i < len(l.In) {
			if err := checkShape(l.NodeCtx, i, x[len(x)-1]); err != nil {
				return None, err
			}
		}
	}
	return l.AddAll(l.Arg(0), l.Arg(bias), l.Arg(1)), nil
}
