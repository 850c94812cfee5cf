package graph

// ONNX Runtime writes SimplifiedLayerNormalization into the standard domain, although ONNX has no operator of that name.
func init() {
	Register(Operator{Name: "SimplifiedLayerNormalization", Since: 1, Lower: lowerSimplifiedLayerNorm})
}

// lowerSimplifiedLayerNorm divides X by its root mean square over the axes from attribute axis on. The result has the type
// of the scale.
func lowerSimplifiedLayerNorm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 2); err != nil {
		return err
	}
	if err := refuseOutputs(l, "statistics for training", 1); err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 0, 1); err != nil {
		return err
	}
	x := l.As(l.Arg(0), l.In[1].DType)
	axis, err := normAxis(l.NodeCtx, l.AttrInt("axis", -1), len(l.In[0].Shape))
	if err != nil {
		return err
	}
	l.Result(0, l.rmsNorm(x, l.Arg(1), axis, l.AttrFloat("epsilon", 1e-5)))
	return nil
}
