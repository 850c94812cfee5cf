package graph

import "slices"

// Operators whose definition before opset 7, 8 or 9 differs in attributes only: each is expanded into today's form.
func init() {
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"} {
		Register(Operator{Name: op, Since: 1, Lower: lowerLegacyBinary})
	}
	for _, op := range []string{"Sum", "Mean", "Max", "Min"} {
		Register(Operator{Name: op, Since: 1, Lower: lowerRenewed})
	}
	Register(Operator{Name: "PRelu", Since: 1, Lower: lowerLegacyPRelu})
	Register(Operator{Name: "Gemm", Since: 1, Lower: lowerLegacyGemm})
	Register(Operator{Name: "Dropout", Since: 1, Lower: lowerLegacyDropout})
	Register(Operator{Name: "BatchNormalization", Since: 1, Lower: lowerLegacyBatchNorm})
}

// renewed emits the node again in today's form, with the attributes of the given names.
func (l *Lowering) renewed(attrs ...string) ValueID {
	kept := map[string]Attr{}
	for _, name := range attrs {
		if a, ok := l.Attr(name); ok {
			kept[name] = a
		}
	}
	return l.OpA(l.Node.Op, kept, l.ids...)
}

// lowerRenewed serves operators whose older definition is a special case of today's.
func lowerRenewed(l *Lowering) error {
	l.Result(0, l.renewed())
	return nil
}

// lowerLegacyBinary: before opset 7, B had the shape of A, or with broadcast=1 a run of its axes that begins at
// attribute axis (at the end when there is none).
func lowerLegacyBinary(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	a, b := l.In[0].Shape, l.In[1].Shape
	axis, given := l.Attr("axis")
	switch {
	case l.AttrInt("broadcast", 0) == 0:
		if !equalShape(a, b) && len(b) > 0 { // a scalar is what exporters wrote nevertheless
			return badInput(l.NodeCtx, 1, "of shape %v is not %v, and attribute broadcast is 0", b, a)
		}
	case given && axis.Kind == AttrInt:
		at, err := normAxis(l.NodeCtx, axis.I, len(a)+1)
		if err != nil {
			return err
		}
		if at+len(b) > len(a) {
			return badInput(l.NodeCtx, 1, "of shape %v does not fit %v from axis %d on", b, a, at)
		}
		l.ids = slices.Clone(l.ids)
		l.ids[1] = l.Reshape(l.ids[1], append(slices.Clone(b), onesShape(len(a)-at-len(b))...)...)
	}
	l.Result(0, l.renewed())
	return nil
}

func onesShape(n int) []int {
	shape := make([]int, n)
	for i := range shape {
		shape[i] = 1
	}
	return shape
}

// lowerLegacyPRelu: before opset 7 the slope was one number, or one for each channel.
func lowerLegacyPRelu(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	x := l.In[0].Shape
	if n := l.In[1].Elems(); n != 1 && len(x) > 2 {
		if n != x[1] {
			return badInput(l.NodeCtx, 1, "of shape %v does not hold one slope for each of %d channels", l.In[1].Shape, x[1])
		}
		l.ids = slices.Clone(l.ids)
		l.ids[1] = l.Reshape(l.ids[1], append([]int{n}, onesShape(len(x)-2)...)...)
	}
	l.Result(0, l.renewed())
	return nil
}

// lowerLegacyGemm: before opset 7, attribute broadcast had to allow what is always allowed today.
func lowerLegacyGemm(l *Lowering) error {
	l.Result(0, l.renewed("alpha", "beta", "transA", "transB"))
	return nil
}

// lowerLegacyDropout: before opset 7, is_test told inference from training.
func lowerLegacyDropout(l *Lowering) error {
	if l.AttrInt("is_test", 0) == 0 {
		return l.Refuse("is_test", "dropout of a training graph")
	}
	out := l.OpN("Dropout", nil, len(l.Node.Outputs), l.ids...)
	for i, id := range out {
		l.Result(i, id)
	}
	return nil
}

// lowerLegacyBatchNorm: before opset 7, is_test told inference from training, and before opset 9 statistics could be kept
// for each position instead of each channel.
func lowerLegacyBatchNorm(l *Lowering) error {
	switch {
	case l.Node.Opset < 7 && l.AttrInt("is_test", 0) == 0, len(l.Node.Outputs) > 1:
		return l.Refuse("is_test", "normalisation of a training graph before opset 14")
	case l.AttrInt("spatial", 1) == 0:
		return l.Refuse("spatial", "statistics for each position")
	}
	l.Result(0, l.renewed("epsilon"))
	return nil
}
