package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "LpNormalization", Since: 1, Infer: inferLpNorm, Compile: compileLpNorm, VJP: elementwise(lpNormGrad)})
	Register(Operator{
		Name: "MeanVarianceNormalization", Since: 9, Infer: inferMVN, Compile: compileMVN, VJP: elementwise(mvnGrad),
	})
}

func inferLpNorm(c *NodeCtx) error {
	if err := inferUnary(c, classFloat); err != nil {
		return err
	}
	if p := c.AttrInt("p", 2); p != 1 && p != 2 {
		return badNode(c, "attribute p = %d, want 1 or 2", p)
	}
	_, err := normAxis(c, c.AttrInt("axis", -1), len(c.In[0].Shape))
	return err
}

func compileLpNorm(c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", -1), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	_, n, inner := splitAt(c.In[0].Shape, axis)
	square := c.AttrInt("p", 2) == 2
	if c.In[0].DType == tensor.F64 {
		return lpNorm[float64](n, inner, square), nil
	}
	return lpNorm[float32](n, inner, square), nil
}

// lpNorm divides each line by its norm; a line of zeros stays zero.
func lpNorm[T float](n, inner int, square bool) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		if len(dst) == 0 {
			return
		}
		rowTasks(f.Pool, len(dst)/n, n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				at := r/inner*n*inner + r%inner
				norm := 0.0
				for i := range n {
					v := math.Abs(float64(src[at+i*inner]))
					if square {
						v *= v
					}
					norm += v
				}
				if square {
					norm = math.Sqrt(norm)
				}
				for i := range n {
					y := float64(src[at+i*inner])
					if norm != 0 {
						y /= norm
					}
					dst[at+i*inner] = T(y)
				}
			}
		})
	})
}

// mvnLines splits the input into the lines that share mean and variance.
func mvnLines(c *NodeCtx) (*lines, error) {
	axes, ok := c.AttrInts("axes")
	if !ok {
		axes = []int64{0, 2, 3}
	}
	over, err := normAxes(c, axes, len(c.In[0].Shape))
	if err != nil {
		return nil, err
	}
	return newLines(c.In[0].Shape, over), nil
}

func inferMVN(c *NodeCtx) error {
	if err := inferUnary(c, classFloat); err != nil {
		return err
	}
	_, err := mvnLines(c)
	return err
}

func compileMVN(c *NodeCtx) (Kernel, error) {
	l, err := mvnLines(c)
	if err != nil {
		return Kernel{}, err
	}
	if c.In[0].DType == tensor.F64 {
		return mvn[float64](l), nil
	}
	return mvn[float32](l), nil
}

// mvnEpsilon is added to the standard deviation (ONNX function body of MeanVarianceNormalization).
const mvnEpsilon = 1e-9

func mvn[T float](l *lines) Kernel {
	return run(func(f *Frame) {
		dst, src := view[T](f.Out[0]), view[T](f.In[0])
		rowTasks(f.Pool, l.count, l.n, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				sum, squares, n := 0.0, 0.0, float64(l.n)
				l.values(i, func(at int) { sum += float64(src[at]) })
				mean := sum / n
				l.values(i, func(at int) {
					d := float64(src[at]) - mean
					squares += d * d
				})
				dev := math.Sqrt(squares/n) + mvnEpsilon
				l.values(i, func(at int) { dst[at] = T((float64(src[at]) - mean) / dev) })
			}
		})
	})
}

// values calls f with the offset of every element of line i.
func (l *lines) values(i int, f func(at int)) {
	l.segments(i, func(at, n, step int) {
		for k := range n {
			f(at + k*step)
		}
	})
}

// lpNormGrad: with s = x/‖x‖₂ for p = 2 and sign(x) for p = 1, (g - s·Σ g·y)/‖x‖. A line of zeros passes g on, as its
// result is the line itself.
func lpNormGrad(b *Backward) ValueID {
	axes := axisOrLast(b.NodeCtx)
	op, slope := "ReduceL2", b.Y(0)
	if b.AttrInt("p", 2) == 1 {
		op, slope = "ReduceL1", b.Op("Sign", b.X(0))
	}
	norm := b.reduce(op, 18, b.X(0), true, axes)
	norm = b.where(b.Op("Equal", norm, b.num(0)), b.num(1), norm)
	along := b.ReduceSum(b.mul(b.G(0), b.Y(0)), true, axes...)
	return b.div(b.sub(b.G(0), b.mul(slope, along)), norm)
}

// axisOrLast is attribute axis, the last dimension by default, as a list.
func axisOrLast(c *NodeCtx) []int {
	axis := int(c.AttrInt("axis", -1))
	if axis < 0 {
		axis += len(c.In[0].Shape)
	}
	return []int{axis}
}

// mvnGrad: with c = x - mean, σ its deviation and d = σ + ε, (g - mean(g) - c·mean(g·c)/(d·σ))/d. Where σ is 0, c is
// too, and the last term falls away.
func mvnGrad(b *Backward) ValueID {
	var axes []int
	l, ok := b.AttrInts("axes")
	if !ok {
		l = []int64{0, 2, 3}
	}
	for _, a := range l {
		axes = append(axes, int(a+int64(len(b.In[0].Shape)))%len(b.In[0].Shape))
	}
	g := b.G(0)
	c := b.sub(b.X(0), b.ReduceMean(b.X(0), true, axes...))
	dev := b.Op("Sqrt", b.ReduceMean(b.square(c), true, axes...))
	d := b.plus(dev, mvnEpsilon)
	dev = b.where(b.Op("Equal", dev, b.num(0)), b.num(1), dev)
	slope := b.div(b.ReduceMean(b.mul(g, c), true, axes...), b.mul(d, dev))
	return b.div(b.sub(b.sub(g, b.ReduceMean(g, true, axes...)), b.mul(c, slope)), d)
}
