package graph

func init() { registerMicrosoft("SkipGroupNorm", lowerSkipGroupNorm) }

// lowerSkipGroupNorm normalises s = X + skip + bias; output 1 is s. The sum is taken with channels first, where the
// convolution that made X can take it over.
func lowerSkipGroupNorm(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 4, 5, 1, 2); err != nil {
		return err
	}
	channels, err := checkGroupNorm(l)
	if err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 3, 4); err != nil {
		return err
	}
	if err := checkShape(l.NodeCtx, 4, channels); err != nil {
		return err
	}
	last := channelsLast(l)
	x, dt := l.Arg(0), l.In[0].DType
	if last {
		x = l.toChannelsFirst(x)
	}
	skip, err := skipOperand(l, channels, last)
	if err != nil {
		return err
	}
	sum := l.AddAll(x, l.As(skip, dt))
	if l.Has(4) {
		sum = l.Op("Add", sum, l.Reshape(l.As(l.Arg(4), dt), channels, 1, 1))
	}
	y := l.groupNorm(sum)
	if last {
		y, sum = l.toChannelsLast(y), l.toChannelsLast(sum)
	}
	l.Result(0, y)
	l.Result(1, sum)
	return nil
}

// skipOperand returns input skip with channels first: of X's shape, or [N,C,1,1] when it is the same for every position.
func skipOperand(l *Lowering, channels int, last bool) (ValueID, error) {
	x, s := l.In[0].Shape, l.In[3].Shape
	flat := [][]int{{x[0], channels}, {x[0], channels, 1, 1}}
	if last {
		flat[1] = []int{x[0], 1, 1, channels}
	}
	switch {
	case equalShape(s, flat[0]) || equalShape(s, flat[1]):
		return l.Reshape(l.Arg(3), x[0], channels, 1, 1), nil
	case equalShape(s, x) && last:
		return l.toChannelsFirst(l.Arg(3)), nil
	case equalShape(s, x):
		return l.Arg(3), nil
	}
	return None, badInput(l.NodeCtx, 3, "has shape %v, want %v, %v or %v", s, x, flat[0], flat[1])
}
