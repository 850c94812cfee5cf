package graph

import "slices"

// convVJP: with Y = W∗X + b, dX is the transposed convolution of G with the same weights, dW correlates X with G, and
// db sums G.
func convVJP(b *Backward) error {
	w, err := readWindow(b.NodeCtx, b.In[0].Shape[2:], b.In[1].Shape[2:])
	if err != nil {
		return err
	}
	return b.convGradients(b.X(1), w)
}

// convGradients hands the three gradients of a convolution on. weights are [O, I/groups, …].
func (b *Backward) convGradients(weights ValueID, w window) error {
	groups := int(b.AttrInt("group", 1))
	if b.Needs(0) {
		b.Give(0, b.convInput(b.G(0), weights, b.In[0].Shape, w, groups))
	}
	if b.Needs(1) {
		b.Give(1, b.convWeights(b.X(0), b.G(0), w, groups))
	}
	if b.Needs(2) {
		b.Give(2, b.overChannels(b.G(0)))
	}
	return nil
}

// fusedConvVJP is convVJP for winnow.Conv: activation and residual are fused after differentiation only, and constant
// weights that lie channels last are turned into the usual layout.
func fusedConvVJP(b *Backward) error {
	if b.AttrString("act", "") != "" || b.X(3) != None {
		return b.Refuse("act", "the gradient of a convolution with activation or residual is taken before they are fused")
	}
	weights, shape := b.X(1), b.In[1].Shape
	if weightsLast(b.NodeCtx) {
		weights, shape = b.Transpose(weights, 0, 3, 1, 2), []int{shape[0], shape[3], shape[1], shape[2]}
	}
	w, err := readWindow(b.NodeCtx, b.In[0].Shape[2:], shape[2:])
	if err != nil {
		return err
	}
	return b.convGradients(weights, w)
}

// convTransposeVJP: a transposed convolution is the transpose of a convolution from Y to X with the same weights, so dX is
// that convolution of G, and in dW the operands change places.
func convTransposeVJP(b *Backward) error {
	p, _, err := planConvTranspose(b.NodeCtx)
	if err != nil {
		return err
	}
	if b.Needs(0) {
		w := p.window
		w.end = slices.Clone(w.end)
		shape := slices.Clone(b.Out[0].Shape)
		for i := range w.end { // the last window ends with the picture
			w.end[i] = max(0, (p.in[i]-1)*w.stride[i]+w.span(i)-p.out[i]-w.begin[i])
			shape[2+i] = min(shape[2+i], (p.in[i]-1)*w.stride[i]+w.span(i)-w.begin[i]+w.end[i])
		}
		g := b.crop(b.G(0), shape)
		b.Give(0, b.OpA("Conv", w.attrs(p.group), g, b.X(1)))
	}
	if b.Needs(1) {
		b.Give(1, b.convWeights(b.G(0), b.X(0), p.window, p.group))
	}
	if b.Needs(2) {
		b.Give(2, b.overChannels(b.G(0)))
	}
	return nil
}

// attrs writes a window with explicit pads.
func (w *window) attrs(groups int) map[string]Attr {
	return map[string]Attr{
		"kernel_shape": IntsAttr(w.kernel...), "strides": IntsAttr(w.stride...), "dilations": IntsAttr(w.dil...),
		"pads": IntsAttr(slices.Concat(w.begin, w.end)...), "group": IntAttr(groups),
	}
}

// crop cuts every axis down to the first elements.
func (b *Backward) crop(x ValueID, shape []int) ValueID {
	for axis, n := range shape {
		if b.err == nil && b.Shape(x)[axis] > n {
			x = b.Slice(x, axis, 0, n)
		}
	}
	return x
}

// convInput is the gradient of a convolution's input, of the given shape: elements behind the last window are filled up by
// output_padding, and padding that no window reaches is left out.
func (b *Backward) convInput(g, weights ValueID, shape []int, w window, groups int) ValueID {
	if b.err != nil {
		return None
	}
	w.end = slices.Clone(w.end)
	extra := make([]int, len(w.end))
	for i, out := range b.Shape(g)[2:] {
		full := (out-1)*w.stride[i] + w.span(i) - w.begin[i] // size of the result without padding at the end
		w.end[i] = max(0, full-shape[2+i])
		extra[i] = shape[2+i] + w.end[i] - full
	}
	attrs := w.attrs(groups)
	attrs["output_padding"] = IntsAttr(extra...)
	return b.OpA("ConvTranspose", attrs, g, weights)
}

// convWeights is the gradient of a convolution's weights [O, I/groups, …] from its input x [N, I, …] and the cotangent g
// [N, O, …]. A kernel of one tap is a matrix product. Otherwise batch and channels change places, and one of x and g is
// convolved with the other.
func (b *Backward) convWeights(x, g ValueID, w window, groups int) ValueID {
	if b.err != nil {
		return None
	}
	if numElems(w.kernel) == 1 && !slices.ContainsFunc(slices.Concat(w.begin, w.end), func(p int) bool { return p > 0 }) {
		return b.pointWeights(x, g, w, groups)
	}
	if b.Shape(g)[1] < b.Shape(x)[1] && !slices.ContainsFunc(w.stride, func(s int) bool { return s > 1 }) {
		if dw, ok := b.weightsByInput(x, g, w, groups); ok {
			return dw
		}
	}
	return b.weightsByCotangent(x, g, w, groups)
}

// pointWeights is convWeights for kernels of one tap without padding.
func (b *Backward) pointWeights(x, g ValueID, w window, groups int) ValueID {
	for i, s := range w.stride {
		if s > 1 {
			x = b.Op("Slice", x, b.Ints(0), b.Ints(b.Shape(x)[2+i]), b.Ints(2+i), b.Ints(s))
		}
	}
	if b.err != nil {
		return None
	}
	xs, gs := b.Shape(x), b.Shape(g)
	pixels := numElems(gs[2:])
	x = b.Reshape(x, xs[0], groups, xs[1]/groups, pixels)
	g = b.Reshape(g, gs[0], groups, gs[1]/groups, pixels)
	dw := b.ReduceSum(b.Op("MatMul", g, b.TransposeLast(x)), false, 0)
	return b.Reshape(dw, append([]int{gs[1], xs[1] / groups}, w.kernel...)...)
}

// weightsByCotangent convolves x with g in place of weights: steps of the kernel are steps through x by the dilation, and
// neighbours in g lie a stride apart.
func (b *Backward) weightsByCotangent(x, g ValueID, w window, groups int) ValueID {
	xs, gs := b.Shape(x), b.Shape(g)
	in := xs[1] / groups
	cut := slices.Clone(xs)
	v := window{kernel: gs[2:], stride: w.dil, dil: w.stride, begin: w.begin, end: make([]int, len(w.end))}
	for i, size := range xs[2:] {
		last := w.dil[i]*(w.kernel[i]-1) + w.stride[i]*(gs[2+i]-1) - w.begin[i] // element that the last window ends with
		if v.end[i] = max(0, last+1-size); last < 0 {
			return b.zerosOf(b.Type(x).DType, append([]int{gs[1], in}, w.kernel...)...) // sees nothing but padding
		}
		cut[2+i] = min(size, last+1)
	}
	x = b.swapBatch(b.crop(x, cut), groups, in)
	g = b.swapFirst(g)
	dw := b.OpA("Conv", v.attrs(groups), x, g)
	return b.swapFirst(dw)
}

// weightsByInput convolves g with x in place of weights, for strides of 1: the better way when g has few channels, as in a
// low-rank adapter, because every channel of the convolved side is a picture with as few pixels as the kernel has taps. The
// taps come out in reverse. ok is false when the padding is wider than the kernel.
func (b *Backward) weightsByInput(x, g ValueID, w window, groups int) (dw ValueID, ok bool) {
	xs, gs := b.Shape(x), b.Shape(g)
	in, out := xs[1]/groups, gs[1]/groups
	v := window{kernel: xs[2:], stride: w.dil, dil: w.stride, begin: make([]int, len(w.end)), end: make([]int, len(w.end))}
	for i := range v.begin {
		v.begin[i], v.end[i] = w.span(i)-1-w.begin[i], w.span(i)-1-w.end[i]
		if v.begin[i] < 0 || v.end[i] < 0 {
			return None, false
		}
	}
	dw = b.OpA("Conv", v.attrs(groups), b.swapBatch(g, groups, out), b.swapFirst(x)) // [out, groups·in, taps…]
	if b.err != nil {
		return None, true
	}
	for axis := range w.kernel {
		if w.kernel[axis] > 1 {
			dw = b.reverse(dw, 2+axis)
		}
	}
	if groups == 1 {
		return dw, true
	}
	dw = b.Reshape(dw, append([]int{out, groups, in}, w.kernel...)...)
	dw = b.swapFirst(dw)
	return b.Reshape(dw, append([]int{gs[1], in}, w.kernel...)...), true
}

// swapBatch turns [N, groups·C, …] into [C, groups·N, …], the input of a convolution over the batch.
func (b *Backward) swapBatch(x ValueID, groups, channels int) ValueID {
	if b.err != nil {
		return None
	}
	s := b.Shape(x)
	split := b.Reshape(x, append([]int{s[0], groups, channels}, s[2:]...)...)
	perm := append([]int{2, 1, 0}, upTo(3, len(s)+1)...)
	return b.Reshape(b.Transpose(split, perm...), append([]int{channels, groups * s[0]}, s[2:]...)...)
}

// swapFirst exchanges the first two axes.
func (b *Backward) swapFirst(x ValueID) ValueID {
	if b.err != nil {
		return None
	}
	perm := upTo(0, len(b.Shape(x)))
	perm[0], perm[1] = 1, 0
	return b.Transpose(x, perm...)
}
