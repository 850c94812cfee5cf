package graph

func init() {
	Register(Operator{Name: "SwiGLU", Since: 28, Lower: lowerSwiGLU})
	Register(Operator{Name: "Scatter", Since: 9, Lower: lowerScatter})
}

// lowerSwiGLU is a·sigmoid(alpha·a)·b.
func lowerSwiGLU(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkShape(l.NodeCtx, 1, l.In[0].Shape...); err != nil {
		return err
	}
	a := l.Arg(0)
	gate := l.Op("Sigmoid", l.Op("Mul", a, l.number(l.In[0].DType, float64(l.AttrFloat("alpha", 1)))))
	l.Result(0, l.Op("Mul", l.Op("Mul", a, gate), l.Arg(1)))
	return nil
}

// lowerScatter: ScatterElements by its name until opset 11.
func lowerScatter(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 3, 1, 1); err != nil {
		return err
	}
	l.Result(0, l.OpA("ScatterElements", map[string]Attr{"axis": {Kind: AttrInt, I: l.AttrInt("axis", 0)}}, l.ids...))
	return nil
}
