package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	for name, grad := range map[string]func(b *Backward) ValueID{
		"Softmax": softmaxGrad, "LogSoftmax": logSoftmaxGrad, "Hardmax": nil,
	} {
		Register(Operator{
			Name: name, Since: 1, InPlace: []int{0}, Infer: inferSoftmax, Compile: compileSoftmax,
			VJP: elementwise(grad), Flat: grad == nil,
		})
	}
}

func inferSoftmax(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if len(c.In[0].Shape) > 0 || c.Node.Opset < 13 {
		if _, _, _, err := softmaxSplit(c); err != nil {
			return err
		}
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

// softmaxSplit returns the sizes before, along and after what is normalised. Before opset 13 the input is flattened at
// axis (default 1), from then on a single dimension is normalised (default the last).
func softmaxSplit(c *NodeCtx) (outer, n, inner int, err error) {
	shape := c.In[0].Shape
	if c.Node.Opset >= 13 {
		axis, err := normAxis(c, c.AttrInt("axis", -1), len(shape))
		if err != nil {
			return 0, 0, 0, err
		}
		outer, n, inner = splitAt(shape, axis)
		return outer, n, inner, nil
	}
	axis := c.AttrInt("axis", 1)
	if axis != int64(len(shape)) {
		a, err := normAxis(c, axis, len(shape))
		if err != nil {
			return 0, 0, 0, err
		}
		axis = int64(a)
	}
	return numElems(shape[:axis]), numElems(shape[axis:]), 1, nil
}

func compileSoftmax(c *NodeCtx) (Kernel, error) {
	outer, n, inner := 1, 1, 1
	if len(c.In[0].Shape) > 0 || c.Node.Opset < 13 {
		var err error
		if outer, n, inner, err = softmaxSplit(c); err != nil {
			return Kernel{}, err
		}
	}
	if storage(c.In[0].DType) == tensor.F64 {
		return softmaxKernel[float64](c.Node.Op, outer, n, inner), nil
	}
	if c.Node.Op == "Softmax" && inner == 1 {
		return run(func(f *Frame) {
			kernel.Softmax(f.Pool, view[float32](f.Out[0]), view[float32](f.In[0]), outer, n)
		}), nil
	}
	return softmaxKernel[float32](c.Node.Op, outer, n, inner), nil
}

// softmaxKernel works on lines of n elements that lie inner apart.
func softmaxKernel[T float](op string, outer, n, inner int) Kernel {
	line := softmaxLine[T]
	switch op {
	case "LogSoftmax":
		line = logSoftmaxLine[T]
	case "Hardmax":
		line = hardmaxLine[T]
	}
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		if n == 0 {
			return
		}
		rowTasks(f.Pool, outer*inner, n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				at := r/inner*n*inner + r%inner
				line(dst[at:], src[at:], n, inner)
			}
		})
	})
}

func lineMax[T float](src []T, n, step int) float64 {
	m := math.Inf(-1)
	for i := range n {
		m = math.Max(m, float64(src[i*step]))
	}
	return m
}

func softmaxLine[T float](dst, src []T, n, step int) {
	m, sum := lineMax(src, n, step), 0.0
	for i := range n {
		e := math.Exp(float64(src[i*step]) - m)
		sum += e
		dst[i*step] = T(e)
	}
	for i := range n {
		dst[i*step] = T(float64(dst[i*step]) / sum)
	}
}

func logSoftmaxLine[T float](dst, src []T, n, step int) {
	m, sum := lineMax(src, n, step), 0.0
	for i := range n {
		sum += math.Exp(float64(src[i*step]) - m)
	}
	shift := m + math.Log(sum)
	for i := range n {
		dst[i*step] = T(float64(src[i*step]) - shift)
	}
}

// hardmaxLine marks the first maximum with 1.
func hardmaxLine[T float](dst, src []T, n, step int) {
	best := 0
	for i := range n {
		if src[i*step] > src[best*step] {
			best = i
		}
	}
	for i := range n {
		dst[i*step] = 0
	}
	dst[best*step] = 1
}

// softmaxAxes lists the dimensions that are normalised together.
func softmaxAxes(c *NodeCtx) []int {
	rank := len(c.In[0].Shape)
	if c.Node.Opset >= 13 {
		if rank == 0 {
			return nil
		}
		return axisOrLast(c)
	}
	axis := int(c.AttrInt("axis", 1))
	if axis < 0 {
		axis += rank
	}
	return upTo(axis, rank)
}

// softmaxGrad is y·(g - Σ g·y).
func softmaxGrad(b *Backward) ValueID {
	y, g := b.Y(0), b.G(0)
	return b.mul(y, b.sub(g, b.ReduceSum(b.mul(g, y), true, softmaxAxes(b.NodeCtx)...)))
}

// logSoftmaxGrad is g - softmax·Σ g.
func logSoftmaxGrad(b *Backward) ValueID {
	g := b.G(0)
	return b.sub(g, b.mul(b.Op("Exp", b.Y(0)), b.ReduceSum(g, true, softmaxAxes(b.NodeCtx)...)))
}
