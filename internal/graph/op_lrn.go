package graph

func init() { Register(Operator{Name: "LRN", Since: 1, Lower: lowerLRN}) }

// lowerLRN is x / (bias + alpha·m)^beta for x [N,C,…], where m is the mean of the squares of the size channels around each,
// with zeros beyond the first and last.
func lowerLRN(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 2, maxRank); err != nil {
		return err
	}
	size := l.AttrInt("size", 0)
	if size < 1 || size > maxWindow {
		return badNode(l.NodeCtx, "attribute size = %d is out of range", size)
	}
	x, shape, dt, n := l.Arg(0), l.In[0].Shape, l.In[0].DType, int(size)
	planes := l.Reshape(l.Op("Mul", x, x), shape[0], 1, shape[1], numElems(shape[2:]))
	mean := l.OpA("AveragePool", map[string]Attr{
		"kernel_shape": IntsAttr(n, 1), "pads": IntsAttr((n-1)/2, 0, n/2, 0), "count_include_pad": IntAttr(1),
	}, planes)
	base := l.Op("Mul", l.Reshape(mean, shape...), l.number(dt, float64(l.AttrFloat("alpha", 1e-4))))
	base = l.Op("Add", base, l.number(dt, float64(l.AttrFloat("bias", 1))))
	l.Result(0, l.Op("Div", x, l.Op("Pow", base, l.number(dt, float64(l.AttrFloat("beta", 0.75))))))
	return nil
}
