package graph

func init() { registerMicrosoft("FusedGemm", lowerFusedGemm) }

// lowerFusedGemm is activation(alpha·A·B + beta·C).
func lowerFusedGemm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 0); err != nil {
		return err
	}
	var params []float32
	for _, name := range []string{"activation_alpha", "activation_beta", "activation_gamma"} {
		a, ok := l.Attr(name)
		if !ok || a.Kind != AttrFloat || len(params) == len(activationParams[l.AttrString("activation", "")]) {
			break
		}
		params = append(params, a.F)
	}
	y := l.OpA("Gemm", attrsOf(l, "alpha", "beta", "transA", "transB"), l.Arg(0), l.Arg(1), l.Arg(2))
	return l.activated(y, params)
}
