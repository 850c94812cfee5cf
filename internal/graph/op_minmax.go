package graph

import (
	"math"

	"winnow/internal/tensor"
)

// variadic describes an operator that folds any number of broadcast operands with a binary function.
type variadic struct {
	name  string
	since int
	types class
	op    arithOp
	mean  bool // divide by the number of operands at the end
}

func init() {
	for _, v := range []variadic{
		{"Max", 8, classNumber, arithMax, false},
		{"Min", 8, classNumber, arithMin, false},
		{"Sum", 8, classFloat, arithAdd, false},
		{"Mean", 8, classFloat, arithAdd, true},
	} {
		Register(Operator{
			Name: v.name, Since: v.since,
			Infer:   func(c *NodeCtx) error { return inferVariadic(c, v.types) },
			Compile: func(c *NodeCtx) (Kernel, error) { return variadicKernel(c, v), nil },
			VJP: func(b *Backward) error {
				if v.op == arithAdd {
					return sumVJP(b, v.mean)
				}
				return extremeVJP(b)
			},
		})
	}
}

func inferVariadic(c *NodeCtx, types class) error {
	if err := checkArity(c, 1, math.MaxInt, 1, 1); err != nil {
		return err
	}
	for i := range c.In {
		if !c.In[i].Present {
			return badInput(c, i, "is missing")
		}
	}
	if err := checkClass(c, 0, types); err != nil {
		return err
	}
	if err := checkSameType(c, 0, len(c.In)); err != nil {
		return err
	}
	shape, err := inferBroadcast(c, 0, len(c.In))
	if err != nil {
		return err
	}
	return out1(c, c.In[0].DType, shape)
}

func variadicKernel(c *NodeCtx, v variadic) Kernel {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return variadicFloat[float32](c, v)
	case tensor.F64:
		return variadicFloat[float64](c, v)
	case tensor.I8:
		return foldKernel(c, arithInt[int8](v.op), nil)
	case tensor.I16:
		return foldKernel(c, arithInt[int16](v.op), nil)
	case tensor.I32:
		return foldKernel(c, arithInt[int32](v.op), nil)
	case tensor.I64:
		return foldKernel(c, arithInt[int64](v.op), nil)
	case tensor.U8:
		return foldKernel(c, arithInt[uint8](v.op), nil)
	case tensor.U16:
		return foldKernel(c, arithInt[uint16](v.op), nil)
	case tensor.U32:
		return foldKernel(c, arithInt[uint32](v.op), nil)
	}
	return foldKernel(c, arithInt[uint64](v.op), nil)
}

func variadicFloat[T float](c *NodeCtx, v variadic) Kernel {
	var finish func(T) T
	if v.mean {
		n := T(len(c.In))
		finish = func(x T) T { return x / n }
	}
	return foldKernel(c, arithFloat[T](v.op), finish)
}

// foldKernel computes fn(fn(in0, in1), in2)…, then finish when it is not nil. Each range of the output is completed
// before the next, so that the running result stays in cache.
func foldKernel[T number](c *NodeCtx, fn func(a, b T) T, finish func(T) T) Kernel {
	out := c.Out[0].Shape
	walks := make([]*bcast, len(c.In))
	for i := range c.In {
		walks[i] = newBcast(out, c.In[i].Shape)
	}
	return run(func(f *Frame) {
		dst := view[T](f.Out[0])
		chunks(f.Pool, len(dst), func(lo, hi int) {
			for i, w := range walks {
				foldRange(w, dst, view[T](f.In[i]), lo, hi, fn, i == 0)
			}
			for i := lo; finish != nil && i < hi; i++ {
				dst[i] = finish(dst[i])
			}
		})
	})
}

func foldRange[T number](w *bcast, dst, src []T, lo, hi int, fn func(a, b T) T, first bool) {
	step := w.step[0]
	w.rows(lo, hi, func(at, n int, off []int) {
		j := off[0]
		for k := at; k < at+n; k, j = k+1, j+step {
			if first {
				dst[k] = src[j]
			} else {
				dst[k] = fn(dst[k], src[j])
			}
		}
	})
}

func sumVJP(b *Backward, mean bool) error {
	g := b.G(0)
	if mean {
		g = b.Scale(g, 1/float64(len(b.In)))
	}
	for i := range b.In {
		b.Give(i, g)
	}
	return nil
}

// extremeVJP sends the cotangent to the operand that is the minimum or maximum, in equal parts when there are several.
func extremeVJP(b *Backward) error {
	if len(b.In) == 1 {
		b.Give(0, b.G(0))
		return nil
	}
	hits := make([]ValueID, len(b.In))
	for i := range hits {
		hits[i] = b.indicator(b.Op("Equal", b.X(i), b.Y(0)))
	}
	share := b.div(b.G(0), b.Sum(hits...))
	for i, hit := range hits {
		if b.Needs(i) {
			b.Give(i, b.mul(hit, share))
		}
	}
	return nil
}
