package graph

import "winnow/internal/tensor"

func init() {
	registerMicrosoft("MatMulIntegerToFloat", lowerMatMulIntegerToFloat)
	registerMicrosoft("DynamicQuantizeMatMul", lowerDynamicQuantizeMatMul)
}

// lowerMatMulIntegerToFloat is (A−za)·(B−zb)·sa·sb + bias: inputs A, B, sa, sb, za, zb, bias.
func lowerMatMulIntegerToFloat(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 4, 7, 1, 1); err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 2, 3, 6); err != nil {
		return err
	}
	if l.In[2].Elems() != 1 {
		return l.Refuse("", "a scale for every row of A")
	}
	l.Result(0, l.integerProduct(l.Arg(0), l.Arg(4), l.Arg(2), 1, 3, 5, 6))
	return nil
}

// lowerDynamicQuantizeMatMul quantises A to its own range first: inputs A, B, sb, zb, bias.
func lowerDynamicQuantizeMatMul(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 5, 1, 1); err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 0, 2, 4); err != nil {
		return err
	}
	q := l.OpN("DynamicQuantizeLinear", nil, 3, l.Arg(0))
	l.Result(0, l.integerProduct(q[0], q[2], q[1], 1, 2, 3, 4))
	return nil
}

// integerProduct multiplies a with zero point za and scale sa by input b, whose scale, zero point and bias are the inputs
// numbered.
func (l *Lowering) integerProduct(a, za, sa ValueID, b, scale, zero, bias int) ValueID {
	dt := l.In[scale].DType
	var sum ValueID
	if l.Has(zero) && l.In[zero].Elems() != 1 {
		sum = l.Op("MatMul", l.centred(a, za), l.centred(l.Arg(b), l.Arg(zero)))
	} else {
		sum = l.Op("MatMulInteger", a, l.Arg(b), za, l.Arg(zero))
	}
	sum = l.OpA("Cast", map[string]Attr{"to": IntAttr(int(tensor.F32.ONNX()))}, sum)
	scales := l.Op("Mul", l.As(sa, tensor.F32), l.As(l.Arg(scale), tensor.F32))
	return l.AddAll(l.As(l.Op("Mul", sum, scales), dt), l.As(l.Arg(bias), dt))
}

// centred is x − zero as int32; a vector of zero points has one for each column.
func (l *Lowering) centred(x, zero ValueID) ValueID {
	wide := map[string]Attr{"to": IntAttr(int(tensor.I32.ONNX()))}
	if x = l.OpA("Cast", wide, x); zero == None {
		return x
	}
	return l.Op("Sub", x, l.OpA("Cast", wide, zero))
}
