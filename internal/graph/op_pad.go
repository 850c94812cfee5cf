package graph

import "winnow/internal/tensor"

func init() {
	Register(Operator{Name: "Pad", Since: 2, Infer: inferPad, Compile: compilePad, VJP: padVJP})
}

// padding holds the pads before and after each dimension; negative pads crop.
type padding struct{ begin, end []int }

// readPads reads attribute pads before opset 11, input 1 (and axes, input 3) from then on.
func readPads(c *NodeCtx) (padding, error) {
	rank := len(c.In[0].Shape)
	p := padding{make([]int, rank), make([]int, rank)}
	values, ok := c.AttrInts("pads")
	if c.Node.Opset >= 11 {
		var err error
		if values, err = c.ConstInts(1); err != nil {
			return p, err
		}
	} else if !ok {
		return p, badNode(c, "lacks attribute pads")
	}
	axes, err := padAxes(c, rank)
	if err != nil {
		return p, err
	}
	if len(values) != 2*len(axes) {
		return p, badNode(c, "has %d pads for %d dimensions", len(values), len(axes))
	}
	for i, a := range axes {
		lo, hi := values[i], values[len(axes)+i]
		if max(lo, hi) > maxElems || min(lo, hi) < -maxElems {
			return p, badNode(c, "pads %v are out of range", values)
		}
		p.begin[a], p.end[a] = int(lo), int(hi)
	}
	return p, nil
}

func padAxes(c *NodeCtx, rank int) ([]int, error) {
	axes := []int{}
	if c.Has(3) {
		v, err := c.ConstInts(3)
		if err != nil {
			return nil, err
		}
		if _, err := normAxes(c, v, rank); err != nil {
			return nil, err
		}
		for _, a := range v {
			axes = append(axes, int((a+int64(rank))%int64(rank)))
		}
		return axes, nil
	}
	for i := range rank {
		axes = append(axes, i)
	}
	return axes, nil
}

func inferPad(c *NodeCtx) error {
	lo, hi := 2, 4
	if c.Node.Opset < 11 {
		lo, hi = 1, 1
	}
	if err := checkArity(c, lo, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	if c.Has(2) && (c.In[2].DType != c.In[0].DType || c.In[2].Elems() != 1) {
		return badInput(c, 2, "is %v, want one %v", c.In[2].Type, c.In[0].DType)
	}
	p, err := readPads(c)
	if err != nil {
		return err
	}
	mode := c.AttrString("mode", "constant")
	shape := make([]int, len(c.In[0].Shape))
	for i, d := range c.In[0].Shape {
		shape[i] = d + p.begin[i] + p.end[i]
		if shape[i] < 0 {
			return badNode(c, "pads remove more than the size %d of dimension %d", d, i)
		}
		if err := checkPadMode(c, mode, d, shape[i]); err != nil {
			return err
		}
	}
	return out1(c, c.In[0].DType, shape)
}

// checkPadMode requires something to copy from where mode fills with the input's own elements.
func checkPadMode(c *NodeCtx, mode string, n, padded int) error {
	switch mode {
	case "constant":
	case "edge", "reflect", "wrap":
		if n == 0 && padded > 0 {
			return badNode(c, "mode %s cannot extend an empty dimension", mode)
		}
	default:
		return c.Refuse("mode", "want constant, edge, reflect or wrap, not "+mode)
	}
	return nil
}

// padSource maps an output coordinate (relative to the input) to an input coordinate, -1 for the constant.
func padSource(mode string, i, n int) int {
	if i >= 0 && i < n {
		return i
	}
	switch mode {
	case "edge":
		return min(max(i, 0), n-1)
	case "wrap":
		return ((i % n) + n) % n
	case "reflect": // period 2(n-1), the border is not repeated
		if n == 1 {
			return 0
		}
		i = ((i % (2*n - 2)) + 2*n - 2) % (2*n - 2)
		return min(i, 2*n-2-i)
	}
	return -1
}

func compilePad(c *NodeCtx) (Kernel, error) {
	p, err := readPads(c)
	if err != nil {
		return Kernel{}, err
	}
	mode := c.AttrString("mode", "constant")
	in, out := c.In[0].Shape, c.Out[0].Shape
	m := newAxisMap(in, out)
	for d := range in {
		for i := range m.src[d] {
			m.src[d][i] = padSource(mode, i-p.begin[d], in[d])
		}
	}
	fill, err := padValue(c)
	if err != nil {
		return Kernel{}, err
	}
	return m.kernel(c, fill, 2), nil
}

// padValue is the constant of opsets before 11, zero otherwise.
func padValue(c *NodeCtx) ([]byte, error) {
	v := c.AttrFloat("value", 0)
	switch {
	case c.In[0].DType == tensor.F8E8M0 && !c.Has(2) && c.AttrString("mode", "constant") == "constant":
		return nil, c.Refuse("", "zeros around "+c.In[0].DType.String()+", which has none")
	case v == 0 || c.Node.Opset >= 11:
		return make([]byte, storage(c.In[0].DType).Size()), nil
	case storage(c.In[0].DType) == tensor.F32:
		return tensor.FromF32([]float32{v}).Data, nil
	case c.In[0].DType == tensor.F64:
		return tensor.FromF64([]float64{float64(v)}).Data, nil
	}
	return nil, c.Refuse("value", "constant for "+c.In[0].DType.String())
}

// padVJP cuts the border off. In the modes that fill it with the input's own elements its cotangents are added to those;
// in mode constant their sum is the gradient of the constant.
func padVJP(b *Backward) error {
	p, err := readPads(b.NodeCtx)
	if err != nil {
		return err
	}
	if b.AttrString("mode", "constant") != "constant" {
		g := b.G(0)
		for axis := range p.begin {
			g = b.foldBorder(g, axis, p)
		}
		b.Give(0, g)
		return nil
	}
	inner := b.pad(b.G(0), negated(p.begin), negated(p.end))
	b.Give(0, inner)
	if b.Needs(2) {
		border := b.sub(b.G(0), b.pad(inner, p.begin, p.end))
		b.Give(2, b.Reshape(b.sumAll(border), b.In[2].Shape...))
	}
	return nil
}

func negated(v []int) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = -x
	}
	return out
}

// foldBorder undoes the padding of one axis: the columns of the border are multiplied by the 0-1 matrix that says which
// element each of them shows, and added to the columns in the middle.
func (b *Backward) foldBorder(g ValueID, axis int, p padding) ValueID {
	if b.err != nil {
		return g
	}
	n, wide, begin := b.In[0].Shape[axis], b.Out[0].Shape[axis], p.begin[axis]
	lo, hi := max(begin, 0), min(wide, begin+n) // output columns that show the input in place
	if hi <= lo {
		lo, hi = wide, wide
	}
	border := append(upTo(0, lo), upTo(hi, wide)...)
	if len(border) == 0 && wide == n {
		return g
	}
	middle := b.padAxis(b.Slice(g, axis, lo, hi), axis, max(lo-begin, 0), n-max(lo-begin, 0)-(hi-lo))
	if len(border) == 0 {
		return middle
	}
	shows := tensor.New(tensor.F64, n, len(border))
	for k, col := range border {
		shows.F64()[padSource(b.AttrString("mode", ""), col-begin, n)*len(border)+k] = 1
	}
	var parts []ValueID
	for _, r := range [][2]int{{0, lo}, {hi, wide}} {
		if r[0] < r[1] {
			parts = append(parts, b.Slice(g, axis, r[0], r[1]))
		}
	}
	return b.add(middle, b.alongAxis(b.constLike(shows), b.concat(axis, parts...), axis))
}
