package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// rowFuncs are the float32 loops of a binary operator: both operands dense, or one of them a single value.
// The vector loops of package kernel are used where they exist; nil means a plain loop over vv's scalar function.
type rowFuncs struct {
	vv func(dst, a, b []float32)
	vs func(dst, a []float32, b float32)
	sv func(dst []float32, a float32, b []float32)
}

// inferBinary gives the output the broadcast shape of two inputs of one type, which must be in types.
// result is the output type, Invalid for the type of the inputs.
func inferBinary(c *NodeCtx, types class, result tensor.DType) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, types); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 2); err != nil {
		return err
	}
	shape, err := inferBroadcast(c, 0, 2)
	if err != nil {
		return err
	}
	if result == tensor.Invalid {
		result = c.In[0].DType
	}
	return out1(c, result, shape)
}

// vecBinary runs float32 row loops over the broadcast of inputs 0 and 1.
func vecBinary(c *NodeCtx, fn rowFuncs) Kernel {
	b := newBcast(c.Out[0].Shape, c.In[0].Shape, c.In[1].Shape)
	return run(func(f *Frame) {
		dst, x, y := view[float32](f.Out[0]), view[float32](f.In[0]), view[float32](f.In[1])
		b.each(f.Pool, func(at, n int, off []int) {
			d := dst[at : at+n]
			switch {
			case b.step[0] == 1 && b.step[1] == 1:
				fn.vv(d, x[off[0]:off[0]+n], y[off[1]:off[1]+n])
			case b.step[0] == 1:
				fn.vs(d, x[off[0]:off[0]+n], y[off[1]])
			case b.step[1] == 1:
				fn.sv(d, x[off[0]], y[off[1]:off[1]+n])
			default: // a single element
				fn.vs(d, x[off[0]:off[0]+1], y[off[1]])
			}
		})
	})
}

// binaryKernel applies fn to the broadcast of inputs 0 and 1.
func binaryKernel[T, U, R elem](c *NodeCtx, fn func(T, U) R) Kernel {
	b := newBcast(c.Out[0].Shape, c.In[0].Shape, c.In[1].Shape)
	return run(func(f *Frame) { binaryRows(f.Pool, b, f, fn) })
}

func binaryRows[T, U, R elem](p *kernel.Pool, b *bcast, f *Frame, fn func(T, U) R) {
	dst, x, y := view[R](f.Out[0]), view[T](f.In[0]), view[U](f.In[1])
	sx, sy := b.step[0], b.step[1]
	b.each(p, func(at, n int, off []int) {
		i, j := off[0], off[1]
		for k := at; k < at+n; k++ {
			dst[k] = fn(x[i], y[j])
			i += sx
			j += sy
		}
	})
}
