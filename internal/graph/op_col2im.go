package graph

import "slices"

func init() { Register(Operator{Name: "Col2Im", Since: 18, Lower: lowerCol2Im}) }

// lowerCol2Im adds blocks up to a picture: x [N, C·K, L] holds the K elements of each of L blocks for every channel. That
// is a transposed convolution whose k-th weight of K is 1 at the k-th place of the block.
func lowerCol2Im(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 3, 3); err != nil {
		return err
	}
	image, err := constSizes(l.NodeCtx, 1)
	if err != nil {
		return err
	}
	block, err := constSizes(l.NodeCtx, 2)
	if err != nil {
		return err
	}
	w, counts, err := col2imWindow(l.NodeCtx, image, block)
	if err != nil {
		return err
	}
	x, k := l.In[0].Shape, numElems(block)
	if x[1]%k != 0 || x[1] == 0 || x[2] != numElems(counts) {
		return badInput(l.NodeCtx, 0, "of shape %v does not hold %v blocks of %v", x, counts, block)
	}
	if err := checkMade(l.NodeCtx, x[1], k); err != nil {
		return err
	}
	extra := make([]int, len(image))
	for i, n := range image { // what the blocks leave free at the end
		extra[i] = n - ((counts[i]-1)*w.stride[i] + w.span(i) - w.begin[i] - w.end[i])
	}
	weights := make([]float32, x[1]*k)
	for i := range x[1] {
		weights[i*k+i%k] = 1
	}
	l.Result(0, l.OpA("ConvTranspose", map[string]Attr{
		"group": IntAttr(x[1] / k), "strides": IntsAttr(w.stride...), "dilations": IntsAttr(w.dil...),
		"pads": IntsAttr(slices.Concat(w.begin, w.end)...), "output_padding": IntsAttr(extra...),
	}, l.Reshape(l.Arg(0), append([]int{x[0], x[1]}, counts...)...), l.Floats(l.In[0].DType, weights, append([]int{x[1], 1}, block...)...)))
	return nil
}

// col2imWindow reads the window and counts the blocks along each dimension.
func col2imWindow(c *NodeCtx, image, block []int) (w window, counts []int, err error) {
	n := len(image)
	if n < 1 || n > maxRank-2 || len(block) != n {
		return w, nil, badInput(c, 2, "has %d sizes for a picture of %d dimensions", len(block), n)
	}
	for _, b := range block {
		if b > maxWindow {
			return w, nil, badInput(c, 2, "has a block of size %v", block)
		}
	}
	w.kernel = block
	if w.stride, err = intsAttr(c, "strides", n, 1, 1); err != nil {
		return w, nil, err
	}
	if w.dil, err = intsAttr(c, "dilations", n, 1, 1); err != nil {
		return w, nil, err
	}
	pads, err := intsAttr(c, "pads", 2*n, 0, 0)
	if err != nil {
		return w, nil, err
	}
	w.begin, w.end = pads[:n], pads[n:]
	for i, size := range image {
		count, err := w.out(c, i, size)
		if err != nil {
			return w, nil, err
		}
		counts = append(counts, count)
	}
	return w, counts, nil
}
