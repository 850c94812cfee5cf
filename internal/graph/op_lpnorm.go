package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "LpNormalization", Since: 1, Infer: inferLpNorm, Compile: compileLpNorm})
	Register(Operator{Name: "MeanVarianceNormalization", Since: 9, Infer: inferMVN, Compile: compileMVN})
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
