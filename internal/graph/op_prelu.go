package graph

import "winnow/internal/tensor"

func init() {
	Register(Operator{Name: "PRelu", Since: 7, InPlace: []int{0}, Infer: inferPRelu, Compile: compilePRelu, VJP: preluVJP})
}

func inferPRelu(c *NodeCtx) error {
	if err := inferBinary(c, classNumber, tensor.Invalid); err != nil {
		return err
	}
	if !equalShape(c.Out[0].Shape, c.In[0].Shape) {
		return badInput(c, 1, "of shape %v does not broadcast to %v", c.In[1].Shape, c.In[0].Shape)
	}
	return nil
}

func compilePRelu(c *NodeCtx) (Kernel, error) {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return binaryKernel(c, prelu[float32]), nil
	case tensor.F64:
		return binaryKernel(c, prelu[float64]), nil
	case tensor.I32:
		return binaryKernel(c, prelu[int32]), nil
	case tensor.I64:
		return binaryKernel(c, prelu[int64]), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

func prelu[T number](x, slope T) T {
	if x < 0 {
		return slope * x
	}
	return x
}

// preluVJP: at 0 the slope's branch counts for x.
func preluVJP(b *Backward) error {
	above := b.greater(b.X(0), 0)
	if b.Needs(0) {
		b.Give(0, b.where(above, b.G(0), b.mul(b.G(0), b.X(1))))
	}
	if b.Needs(1) {
		b.Give(1, b.dropIf(above, b.mul(b.G(0), b.X(0))))
	}
	return nil
}
