package graph

func init() {
	registerMicrosoft("Gelu", func(l *Lowering) error { return lowerGelu(l, 1, 1, "none") })
	registerMicrosoft("BiasGelu", func(l *Lowering) error { return lowerGelu(l, 2, 2, "none") })
	registerMicrosoft("FastGelu", func(l *Lowering) error { return lowerGelu(l, 1, 2, "tanh") })
}

// lowerGelu is gelu(X + bias), exact or by tanh; bias is a vector over the last axis.
func lowerGelu(l *Lowering, lo, hi int, approximate string) error {
	if err := checkBias(l, lo, hi); err != nil {
		return err
	}
	l.Result(0, l.gelu(l.AddAll(l.Arg(0), l.Arg(1)), approximate))
	return nil
}
