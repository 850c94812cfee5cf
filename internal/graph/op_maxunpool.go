package graph

func init() { Register(Operator{Name: "MaxUnpool", Since: 9, Lower: lowerMaxUnpool}) }

// lowerMaxUnpool puts the values of a MaxPool back to the places that its indices name, among zeros. An output_shape larger
// than what the window gives adds zeros at the end.
func lowerMaxUnpool(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 3, maxRank); err != nil {
		return err
	}
	x := l.In[0].Shape
	if err := checkShape(l.NodeCtx, 1, x...); err != nil {
		return err
	}
	w, err := readWindow(l.NodeCtx, x[2:], nil)
	if err != nil {
		return err
	}
	shape := append([]int{}, x[:2]...)
	for i, n := range x[2:] {
		shape = append(shape, (n-1)*w.stride[i]+w.kernel[i]-w.begin[i]-w.end[i])
	}
	total, ok := elemCount(shape)
	if !ok {
		return badNode(l.NodeCtx, "result of shape %v is too large or has a negative dimension", shape)
	}
	zeros := l.Op("Expand", l.number(l.In[0].DType, 0), l.Ints(total))
	flat := l.OpA("ScatterElements", map[string]Attr{"axis": IntAttr(0)}, zeros,
		l.Reshape(l.Arg(1), l.In[0].Elems()), l.Reshape(l.Arg(0), l.In[0].Elems()))
	out := l.Reshape(flat, shape...)
	if l.Has(2) {
		want, err := constSizes(l.NodeCtx, 2)
		if err != nil {
			return err
		}
		pads := make([]int, 2*len(shape))
		if len(want) != len(shape) {
			return badInput(l.NodeCtx, 2, "has %d sizes for %d dimensions", len(want), len(shape))
		}
		for i, n := range want {
			if pads[len(shape)+i] = n - shape[i]; n < shape[i] {
				return badInput(l.NodeCtx, 2, "%v is smaller than %v", want, shape)
			}
		}
		out = l.Op("Pad", out, l.Ints(pads...))
	}
	l.Result(0, out)
	return nil
}
