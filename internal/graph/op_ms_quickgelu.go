package graph

func init() { registerMicrosoft("QuickGelu", lowerQuickGelu) }

// lowerQuickGelu is x·sigmoid(alpha·x).
func lowerQuickGelu(l *Lowering) error {
	if err := checkBias(l, 1, 1); err != nil {
		return err
	}
	x := l.Arg(0)
	scaled := l.Op("Mul", x, l.Floats(l.In[0].DType, []float32{l.AttrFloat("alpha", 1.702)}))
	l.Result(0, l.Op("Mul", x, l.Op("Sigmoid", scaled)))
	return nil
}
