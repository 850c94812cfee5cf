package graph

func init() { registerMicrosoft("BiasAdd", lowerBiasAdd) }

// lowerBiasAdd is X + bias + skip: X, skip [N,S,C], bias [C].
func lowerBiasAdd(l *Lowering) error {
	if err := checkBias(l, 3, 3); err != nil {
		return err
	}
	if err := checkShape(l.NodeCtx, 2, l.In[0].Shape...); err != nil {
		return err
	}
	l.Result(0, l.AddAll(l.Arg(0), l.Arg(1), l.Arg(2)))
	return nil
}
