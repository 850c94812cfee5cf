package graph

// The operators here give input 0 another shape; their kernels copy only where the plan cannot alias the bytes.
func init() {
	for _, v := range []struct {
		name  string
		since int
		infer func(c *NodeCtx) error
	}{
		{"Identity", 1, inferIdentity},
		{"Reshape", 5, inferReshape},
		{"Flatten", 1, inferFlatten},
		{"Squeeze", 1, inferSqueeze},
		{"Unsqueeze", 1, inferUnsqueeze},
	} {
		Register(Operator{
			Name: v.name, Since: v.since, View: true, Infer: v.infer, Compile: compileView, VJP: elementwise(viewGrad),
		})
	}
}

func compileView(*NodeCtx) (Kernel, error) {
	return run(func(f *Frame) { copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data) }), nil
}

// viewGrad gives the cotangent the input's shape.
func viewGrad(b *Backward) ValueID { return b.Reshape(b.G(0), b.In[0].Shape...) }

func inferIdentity(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	return viewAs(c, c.In[0].Shape)
}

// viewAs sets the output to input 0's elements under shape.
func viewAs(c *NodeCtx, shape []int) error {
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, shape)
}

// inferReshape: 0 copies the input's dimension (unless allowzero), one -1 is deduced.
func inferReshape(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkRank(c, 1, 1, 1); err != nil {
		return err
	}
	want, err := c.ConstInts(1)
	if err != nil {
		return err
	}
	shape, err := reshapeTo(c, want, c.AttrInt("allowzero", 0) != 0)
	if err != nil {
		return err
	}
	return viewAs(c, shape)
}

func reshapeTo(c *NodeCtx, want []int64, allowZero bool) ([]int, error) {
	in := c.In[0].Shape
	shape := make([]int, len(want))
	free := -1
	for i, d := range want {
		switch {
		case d == -1 && free >= 0:
			return nil, badInput(c, 1, "%v has -1 twice", want)
		case d == -1:
			free = i
			shape[i] = 1
			continue
		case d == 0 && !allowZero:
			if i >= len(in) {
				return nil, badInput(c, 1, "%v copies dimension %d of an input of shape %v", want, i, in)
			}
			d = int64(in[i])
		}
		if d < 0 || d > maxElems {
			return nil, badInput(c, 1, "%v has an impossible dimension", want)
		}
		shape[i] = int(d)
	}
	return fillFree(c, want, shape, free)
}

// fillFree deduces the dimension at index free (none when negative) and checks the element count.
func fillFree(c *NodeCtx, want []int64, shape []int, free int) ([]int, error) {
	total := c.In[0].Elems()
	n, ok := elemCount(shape)
	if ok && free >= 0 && n > 0 {
		shape[free] = total / n
		n *= shape[free]
	}
	if !ok || n != total || free >= 0 && n == 0 && total == 0 && shape[free] == 1 {
		return nil, badInput(c, 1, "asks for shape %v, which does not hold the %d elements of shape %v", want, total,
			c.In[0].Shape)
	}
	return shape, nil
}

func inferFlatten(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	in := c.In[0].Shape
	axis := c.AttrInt("axis", 1)
	if axis != int64(len(in)) { // the end is a legal position
		a, err := normAxis(c, axis, len(in))
		if err != nil {
			return err
		}
		axis = int64(a)
	}
	return viewAs(c, []int{numElems(in[:axis]), numElems(in[axis:])})
}

// axesOf reads axes from the attribute, or from input i in opsets that moved them there; ok is false when neither is given.
func axesOf(c *NodeCtx, i, inputSince int) (axes []int64, ok bool, err error) {
	if c.Node.Opset < inputSince {
		axes, ok = c.AttrInts("axes")
		return axes, ok, nil
	}
	if !c.Has(i) {
		return nil, false, nil
	}
	axes, err = c.ConstInts(i)
	return axes, true, err
}

func inferSqueeze(c *NodeCtx) error {
	if err := checkArity(c, 1, axesInputs(c), 1, 1); err != nil {
		return err
	}
	in := c.In[0].Shape
	axes, given, err := axesOf(c, 1, 13)
	if err != nil {
		return err
	}
	drop, err := normAxes(c, axes, len(in))
	if err != nil {
		return err
	}
	shape := []int{}
	for i, d := range in {
		switch {
		case !given && d == 1:
		case !drop[i]:
			shape = append(shape, d)
		case d != 1:
			return badInput(c, 0, "has size %d on axis %d, which is to be squeezed", d, i)
		}
	}
	return viewAs(c, shape)
}

func inferUnsqueeze(c *NodeCtx) error {
	if err := checkArity(c, 1, axesInputs(c), 1, 1); err != nil {
		return err
	}
	axes, given, err := axesOf(c, 1, 13)
	if err != nil {
		return err
	}
	if !given {
		return badNode(c, "lacks axes")
	}
	if len(axes) > maxRank {
		return badNode(c, "has %d axes", len(axes))
	}
	in := c.In[0].Shape
	added, err := normAxes(c, axes, len(in)+len(axes))
	if err != nil {
		return err
	}
	shape := make([]int, 0, len(added))
	for _, isNew := range added {
		if isNew {
			shape = append(shape, 1)
			continue
		}
		shape = append(shape, in[0])
		in = in[1:]
	}
	return viewAs(c, shape)
}

// maxRank bounds ranks that a model can ask for by listing axes; real networks stay below 10.
const maxRank = 64

// axesInputs is the number of inputs of Squeeze and Unsqueeze.
func axesInputs(c *NodeCtx) int {
	if c.Node.Opset < 13 {
		return 1
	}
	return 2
}
