package graph

import "winnow/internal/tensor"

func init() {
	Register(Operator{Name: "QLinearMatMul", Since: 10, Lower: lowerQLinearMatMul})
	Register(Operator{Name: "QLinearConv", Since: 10, Lower: lowerQLinearConv})
	Register(Operator{Name: "ConvInteger", Since: 10, Lower: lowerConvInteger})
}

// dequantized is input i, whose scale and zero point follow it, as real numbers.
func (l *Lowering) dequantized(i, axis int) ValueID {
	return l.OpA("DequantizeLinear", map[string]Attr{"axis": IntAttr(axis)}, l.Arg(i), l.Arg(i+1), l.Arg(i+2))
}

// lowerQLinearMatMul multiplies as real numbers between a dequantisation and a quantisation. Scales are those of whole
// tensors.
func lowerQLinearMatMul(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 8, 8, 1, 1); err != nil {
		return err
	}
	for _, i := range []int{1, 4, 6} {
		if l.In[i].Elems() != 1 {
			return l.Refuse("", "scales per row or column")
		}
	}
	l.Result(0, l.Op("QuantizeLinear", l.Op("MatMul", l.dequantized(0, 0), l.dequantized(3, 0)), l.Arg(6), l.Arg(7)))
	return nil
}

// convAttrs are the attributes that a convolution of integers hands on.
func (l *Lowering) convAttrs() map[string]Attr {
	attrs := map[string]Attr{}
	for _, name := range []string{"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"} {
		if a, ok := l.Attr(name); ok {
			attrs[name] = a
		}
	}
	return attrs
}

// lowerQLinearConv is lowerQLinearMatMul for a convolution. The weights may have a scale for each channel; the bias is
// int32 in units of the two scales' product.
func lowerQLinearConv(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 8, 9, 1, 1); err != nil {
		return err
	}
	if l.In[1].Elems() != 1 {
		return l.Refuse("", "a scale of the picture for each channel")
	}
	args := []ValueID{l.dequantized(0, 0), l.dequantized(3, 0)}
	if l.Has(8) {
		bias := l.As(l.Arg(8), l.In[1].DType)
		args = append(args, l.Op("Mul", l.Op("Mul", bias, l.Arg(1)), l.Arg(4)))
	}
	l.Result(0, l.Op("QuantizeLinear", l.OpA("Conv", l.convAttrs(), args...), l.Arg(6), l.Arg(7)))
	return nil
}

// lowerConvInteger convolves in float64, which is exact.
func lowerConvInteger(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 4, 1, 1); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 1, 3, maxRank); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkClass(l.NodeCtx, i, classInt); err != nil {
			return err
		}
	}
	args := []ValueID{l.As(l.Arg(0), tensor.F64), l.As(l.Arg(1), tensor.F64)}
	for i := range args {
		if !l.Has(2 + i) {
			continue
		}
		zero := l.As(l.Arg(2+i), tensor.F64)
		if n := l.In[2+i].Elems(); n != 1 { // one for each filter
			zero = l.Reshape(zero, append([]int{n}, onesShape(len(l.In[1].Shape)-1)...)...)
		}
		args[i] = l.Op("Sub", args[i], zero)
	}
	l.Result(0, l.As(l.OpA("Conv", l.convAttrs(), args...), tensor.I32))
	return nil
}
