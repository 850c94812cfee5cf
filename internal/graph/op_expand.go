package graph

import (
	"winnow/internal/kernel"
)

func init() {
	Register(Operator{Name: "Expand", Since: 8, Infer: inferExpand, Compile: compileExpand, VJP: elementwise(passGrad)})
	Register(Operator{Name: "Tile", Since: 6, Infer: inferTile, Compile: compileTile, VJP: elementwise(tileGrad)})
}

func inferExpand(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	want, err := dimsOf(c, 1)
	if err != nil {
		return err
	}
	shape, ok := broadcastShape(c.In[0].Shape, want)
	if !ok {
		return badInput(c, 1, "%v does not broadcast with the shape %v", want, c.In[0].Shape)
	}
	return out1(c, c.In[0].DType, shape)
}

func compileExpand(c *NodeCtx) (Kernel, error) {
	b := newBcast(c.Out[0].Shape, c.In[0].Shape)
	return bySize(c.In[0].DType, expandKernel[uint8], expandKernel[uint16], expandKernel[uint32], expandKernel[uint64])(b), nil
}

func expandKernel[T elem](b *bcast) Kernel {
	return run(func(f *Frame) { expandRows(f.Pool, b, view[T](f.Out[0]), view[T](f.In[0])) })
}

func expandRows[T elem](p *kernel.Pool, b *bcast, dst, src []T) {
	dense := b.step[0] == 1
	b.each(p, func(at, n int, off []int) {
		if dense {
			copy(dst[at:at+n], src[off[0]:])
			return
		}
		v := src[off[0]]
		row := dst[at : at+n]
		for i := range row {
			row[i] = v
		}
	})
}

func inferTile(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	reps, err := dimsOf(c, 1)
	if err != nil {
		return err
	}
	in := c.In[0].Shape
	if len(reps) != len(in) {
		return badInput(c, 1, "has %d repeats for an input of shape %v", len(reps), in)
	}
	shape := make([]int, len(in))
	for i, d := range in {
		if d > 0 && reps[i] > maxElems/d {
			return badInput(c, 1, "%v makes the result too large", reps)
		}
		shape[i] = d * reps[i]
	}
	return out1(c, c.In[0].DType, shape)
}

// compileTile splits every dimension into (repeat, size): tiling is then an Expand.
func compileTile(c *NodeCtx) (Kernel, error) {
	var from, to []int
	for i, d := range c.In[0].Shape {
		rep := 0
		if d > 0 {
			rep = c.Out[0].Shape[i] / d
		}
		from, to = append(from, 1, d), append(to, rep, d)
	}
	b := newBcast(to, from)
	return bySize(c.In[0].DType, expandKernel[uint8], expandKernel[uint16], expandKernel[uint32], expandKernel[uint64])(b), nil
}

// tileGrad adds the copies up.
func tileGrad(b *Backward) ValueID {
	var split, axes []int
	for i, d := range b.In[0].Shape {
		if rep := b.Out[0].Shape[i]; rep == d {
			split = append(split, d)
		} else if d > 0 {
			axes = append(axes, len(split))
			split = append(split, rep/d, d)
		}
	}
	return b.Reshape(b.ReduceSum(b.Reshape(b.G(0), split...), false, axes...), b.In[0].Shape...)
}
