package graph

import "winnow/internal/tensor"

// averagePoolVJP spreads every cotangent, divided by the number of elements that its window counts, over the window: a
// transposed convolution of every channel with ones.
func averagePoolVJP(b *Backward) error {
	w, shape, err := poolWindow(b.NodeCtx)
	if err != nil {
		return err
	}
	counts := tensor.New(tensor.F64, append([]int{1, 1}, shape[2:]...)...)
	pad := b.AttrInt("count_include_pad", 0) != 0
	walk := newPoolWalk(w, b.In[0].Shape[2:], shape[2:])
	for o := range counts.F64() {
		inside := 0
		padded := walk.each(o, func(int) { inside++ })
		if counts.F64()[o] = float64(inside); pad {
			counts.F64()[o] = float64(padded)
		}
	}
	channels := shape[1]
	ones := tensor.New(tensor.F64, append([]int{channels, 1}, w.kernel...)...)
	for i := range ones.F64() {
		ones.F64()[i] = 1
	}
	g := b.Op("Div", b.G(0), b.constLike(counts))
	b.Give(0, b.convInput(g, b.constLike(ones), b.In[0].Shape, w, channels))
	return nil
}

// maxPoolVJP sends every cotangent to the element that was the largest of its window, the first of equal ones as torch
// does; windows that overlap add up.
func maxPoolVJP(b *Backward) error {
	w, _, err := poolWindow(b.NodeCtx)
	if err != nil {
		return err
	}
	attrs := withAttr(b.Node.Attrs, "storage_order", IntAttr(0))
	indices := b.OpN("MaxPool", attrs, 2, b.X(0))[1]
	apart := true
	for i := range w.kernel {
		apart = apart && w.stride[i] >= w.span(i)
	}
	total := b.In[0].Elems()
	flat := b.zerosOf(b.In[0].DType, total)
	scatter := map[string]Attr{"axis": IntAttr(0)}
	switch {
	case apart:
	case b.OpsetVersion() < 16:
		return b.Refuse("", "the gradient of overlapping windows needs a scatter that adds up, which is in opset 16; export with a newer opset")
	default:
		scatter["reduction"] = StringAttr("add")
	}
	n := b.Out[0].Elems()
	dx := b.OpA("ScatterElements", scatter, flat, b.Reshape(indices, n), b.Reshape(b.G(0), n))
	b.Give(0, b.Reshape(dx, b.In[0].Shape...))
	return nil
}

// globalAverageVJP spreads the cotangent of a channel evenly over its elements.
func globalAverageVJP(b *Backward) error {
	n := numElems(b.In[0].Shape[2:])
	b.Give(0, b.Expand(b.Scale(b.G(0), 1/float64(n)), b.In[0].Shape...))
	return nil
}

// globalMaxVJP sends the cotangent of a channel to its largest element, the first of equal ones.
func globalMaxVJP(b *Backward) error {
	s := b.In[0].Shape
	flat := []int{s[0], s[1], numElems(s[2:])}
	at := b.OpA("ArgMax", map[string]Attr{"axis": IntAttr(2)}, b.Reshape(b.X(0), flat...))
	g := b.Reshape(b.G(0), s[0], s[1], 1)
	dx := b.OpA("ScatterElements", map[string]Attr{"axis": IntAttr(2)}, b.zerosOf(b.In[0].DType, flat...), at, g)
	b.Give(0, b.Reshape(dx, s...))
	return nil
}
