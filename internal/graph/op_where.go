package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Where", Since: 9, InPlace: []int{1, 2}, Infer: inferWhere, Compile: compileWhere, VJP: whereVJP})
}

func inferWhere(c *NodeCtx) error {
	if err := checkArity(c, 3, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classBool); err != nil {
		return err
	}
	if err := checkClass(c, 1, classStored); err != nil {
		return err
	}
	if err := checkSameType(c, 1, 3); err != nil {
		return err
	}
	shape, err := inferBroadcast(c, 0, 3)
	if err != nil {
		return err
	}
	return out1(c, c.In[1].DType, shape)
}

// compileWhere moves bits, so that one loop per element size serves every type.
func compileWhere(c *NodeCtx) (Kernel, error) {
	b := newBcast(c.Out[0].Shape, c.In[0].Shape, c.In[1].Shape, c.In[2].Shape)
	return bySize(c.In[1].DType, whereLoop[uint8], whereLoop[uint16], whereLoop[uint32], whereLoop[uint64])(b), nil
}

func whereLoop[T elem](b *bcast) Kernel {
	return run(func(f *Frame) {
		dst, cond, x, y := view[T](f.Out[0]), view[bool](f.In[0]), view[T](f.In[1]), view[T](f.In[2])
		whereRows(f.Pool, b, dst, cond, x, y)
	})
}

func whereRows[T elem](p *kernel.Pool, b *bcast, dst []T, cond []bool, x, y []T) {
	sc, sx, sy := b.step[0], b.step[1], b.step[2]
	b.each(p, func(at, n int, off []int) {
		i, j, l := off[0], off[1], off[2]
		for k := at; k < at+n; k++ {
			if cond[i] {
				dst[k] = x[j]
			} else {
				dst[k] = y[l]
			}
			i, j, l = i+sc, j+sx, l+sy
		}
	})
}

// bySize chooses among the instances of a bit-moving loop by the size of the stored element.
func bySize[F any](dt tensor.DType, b1, b2, b4, b8 F) F {
	switch storage(dt).Size() {
	case 1:
		return b1
	case 2:
		return b2
	case 4:
		return b4
	}
	return b8
}

func whereVJP(b *Backward) error {
	zero := b.Scalar(b.In[1].DType, 0)
	if b.Needs(1) {
		b.Give(1, b.where(b.X(0), b.G(0), zero))
	}
	if b.Needs(2) {
		b.Give(2, b.where(b.X(0), zero, b.G(0)))
	}
	return nil
}
