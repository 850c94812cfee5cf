package graph

func init() {
	for _, name := range []string{"QuantizeLinear", "DequantizeLinear"} {
		registerMicrosoft(name, func(l *Lowering) error { return lowerQuantize(l, name) })
	}
}

// lowerQuantize: ONNX Runtime's forms differ from the standard operators by allowing types that those got later.
func lowerQuantize(l *Lowering, op string) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	l.Result(0, l.OpA(op, attrsOf(l, "axis"), l.Arg(0), l.Arg(1), l.Arg(2)))
	return nil
}
