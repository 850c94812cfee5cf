package graph

import "slices"

func init() { Register(Operator{Name: "LpPool", Since: 2, Lower: lowerLpPool}) }

// lowerLpPool is (Σ|x|^p)^(1/p) over windows of x [N,C,…]: the sum is a convolution of each plane with ones.
func lowerLpPool(l *Lowering) error {
	if err := checkPooled(l); err != nil {
		return err
	}
	w, shape, err := poolWindow(l.NodeCtx)
	if err != nil {
		return err
	}
	in, end := l.In[0].Shape, slices.Clone(w.end)
	for i, n := range shape[2:] { // ceil_mode may need more at the end than the pads give
		end[i] = max(0, (n-1)*w.stride[i]+w.span(i)-in[2+i]-w.begin[i])
	}
	if err := checkMade(l.NodeCtx, w.kernel...); err != nil {
		return err
	}
	ones := make([]float32, numElems(w.kernel))
	for i := range ones {
		ones[i] = 1
	}
	powers := l.Reshape(l.power(l.Op("Abs", l.Arg(0))), append([]int{in[0] * in[1], 1}, in[2:]...)...)
	sum := l.OpA("Conv", map[string]Attr{
		"kernel_shape": IntsAttr(w.kernel...), "strides": IntsAttr(w.stride...), "dilations": IntsAttr(w.dil...),
		"pads": IntsAttr(slices.Concat(w.begin, end)...),
	}, powers, l.Floats(l.In[0].DType, ones, append([]int{1, 1}, w.kernel...)...))
	l.Result(0, l.root(l.Reshape(sum, shape...)))
	return nil
}

// checkPooled checks the operand, which must not be empty, and the exponent.
func checkPooled(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 3, maxRank); err != nil {
		return err
	}
	if l.In[0].Elems() == 0 {
		return badInput(l.NodeCtx, 0, "of shape %v has nothing to pool", l.In[0].Shape)
	}
	if p := l.AttrInt("p", 2); p < 1 {
		return badNode(l.NodeCtx, "attribute p = %d is not positive", p)
	}
	return nil
}

// power is x^p, root its inverse.
func (l *Lowering) power(x ValueID) ValueID {
	switch p := l.AttrInt("p", 2); p {
	case 1:
		return x
	case 2:
		return l.Op("Mul", x, x)
	default:
		return l.Op("Pow", x, l.number(l.In[0].DType, float64(p)))
	}
}

func (l *Lowering) root(x ValueID) ValueID {
	switch p := l.AttrInt("p", 2); p {
	case 1:
		return x
	case 2:
		return l.Op("Sqrt", x)
	default:
		return l.Op("Pow", x, l.number(l.In[0].DType, 1/float64(p)))
	}
}
