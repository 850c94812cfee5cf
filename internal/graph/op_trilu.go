package graph

func init() {
	Register(Operator{Name: "Trilu", Since: 14, Infer: inferTrilu, Compile: compileTrilu, VJP: elementwise(triluGrad)})
}

// triluDiagonal is optional input 1: the diagonal where the triangle begins.
func triluDiagonal(c *NodeCtx) (int64, error) {
	if !c.Has(1) {
		return 0, nil
	}
	v, err := c.ConstInts(1)
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, badInput(c, 1, "has %d elements, want one", len(v))
	}
	return min(max(v[0], -maxElems), maxElems), nil
}

func inferTrilu(c *NodeCtx) error {
	if err := checkArity(c, 1, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFixed); err != nil {
		return err
	}
	if err := checkRank(c, 0, 2, maxRank); err != nil {
		return err
	}
	if _, err := triluDiagonal(c); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

// compileTrilu copies row by row the part [lo, hi) that stays and clears the rest.
func compileTrilu(c *NodeCtx) (Kernel, error) {
	d, err := triluDiagonal(c)
	if err != nil {
		return Kernel{}, err
	}
	upper := c.AttrInt("upper", 1) != 0
	shape := c.In[0].Shape
	rows, cols := lastTwo(shape, false)
	size := storage(c.In[0].DType).Size()
	return run(func(f *Frame) {
		dst, src := f.Out[0].Data, f.In[0].Data
		for r := range numElems(shape[:len(shape)-1]) {
			edge := int64(r%rows) + d
			lo, hi := 0, int(min(max(edge+1, 0), int64(cols)))
			if upper {
				lo, hi = int(min(max(edge, 0), int64(cols))), cols
			}
			y := dst[r*cols*size:][:cols*size]
			clear(y[:lo*size])
			copy(y[lo*size:hi*size], src[(r*cols+lo)*size:])
			clear(y[hi*size:])
		}
	}), nil
}

// triluGrad keeps the triangle that the operator keeps.
func triluGrad(b *Backward) ValueID { return b.OpA("Trilu", b.Node.Attrs, b.G(0), b.X(1)) }
