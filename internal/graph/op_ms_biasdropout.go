package graph

func init() { registerMicrosoft("BiasDropout", lowerBiasDropout) }

// lowerBiasDropout is dropout(data + bias) + residual; at inference dropout passes its input on, and the standard operator
// refuses training. Inputs: data, bias (data's shape or its last axis), residual, ratio, training_mode.
func lowerBiasDropout(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 5, 1, 2); err != nil {
		return err
	}
	x := l.In[0].Shape
	if s, ok := broadcastShape(x, l.In[1].Shape); !ok || !equalShape(s, x) {
		return badInput(l.NodeCtx, 1, "of shape %v does not broadcast to %v", l.In[1].Shape, x)
	}
	if err := checkShape(l.NodeCtx, 2, x...); err != nil {
		return err
	}
	outs := l.OpN("Dropout", nil, len(l.Node.Outputs), l.Op("Add", l.Arg(0), l.Arg(1)), l.Arg(3), l.Arg(4))
	l.Result(0, l.AddAll(outs[0], l.Arg(2)))
	if len(outs) > 1 {
		l.Result(1, outs[1])
	}
	return nil
}
