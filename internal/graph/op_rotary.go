package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "RotaryEmbedding", Since: 23, Infer: inferRotary, Compile: compileRotary, VJP: rotaryVJP})
}

// rotary is a checked RotaryEmbedding node: x lies as headed says; dim of its channels are turned by the angles whose
// cosine and sine are cos and sin [positions, dim/2], or [batch, tokens, dim/2] without position ids.
type rotary struct {
	headed
	dim, positions int
}

func planRotary(c *NodeCtx) (rotary, error) {
	layout := layoutBHSD
	if len(c.In[0].Shape) == 3 {
		layout = layoutBSHD
	}
	h, ok := headsOf(c.In[0].Shape, layout, headCount(c, "num_heads"))
	if !ok {
		return rotary{}, badInput(c, 0, "of shape %v does not hold %d heads", c.In[0].Shape, c.AttrInt("num_heads", 0))
	}
	r := rotary{headed: h, dim: int(min(max(c.AttrInt("rotary_embedding_dim", 0), -1), maxElems))}
	if r.dim == 0 {
		r.dim = h.dim
	}
	if r.dim < 0 || r.dim > h.dim || r.dim%2 != 0 {
		return r, badNode(c, "rotary dimension %d does not fit heads of %d channels", r.dim, h.dim)
	}
	want := []int{h.batch, h.tokens, r.dim / 2}
	if c.Has(3) {
		if err := checkShape(c, 3, h.batch, h.tokens); err != nil {
			return r, err
		}
		if c.In[3].DType != tensor.I64 {
			return r, badInput(c, 3, "has type %v, want int64", c.In[3].DType)
		}
		if err := checkRank(c, 1, 2, 2); err != nil {
			return r, err
		}
		r.positions = c.In[1].Shape[0]
		want = []int{r.positions, r.dim / 2}
	}
	for i := 1; i < 3; i++ {
		if err := checkShape(c, i, want...); err != nil {
			return r, err
		}
	}
	return r, nil
}

func inferRotary(c *NodeCtx) error {
	if err := checkArity(c, 3, 4, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 3); err != nil {
		return err
	}
	if _, err := planRotary(c); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

func compileRotary(c *NodeCtx) (Kernel, error) {
	r, err := planRotary(c)
	if err != nil {
		return Kernel{}, err
	}
	interleaved, byID := c.AttrInt("interleaved", 0) != 0, c.Has(3)
	if c.In[0].DType == tensor.F64 {
		return rotaryKernel[float64](r, interleaved, byID), nil
	}
	return rotaryKernel[float32](r, interleaved, byID), nil
}

func rotaryKernel[T float](r rotary, interleaved, byID bool) Kernel {
	half, rows := r.dim/2, r.batch*r.tokens
	return Kernel{Run: func(f *Frame) error {
		at := make([]int, rows) // row of the tables for each token
		for i := range at {
			at[i] = i
		}
		if byID {
			for i, id := range view[int64](f.In[3]) {
				if id < 0 || id >= int64(r.positions) {
					return fmt.Errorf("position %d is outside a table of %d", id, r.positions)
				}
				at[i] = int(id)
			}
		}
		dst, src, cos, sin := view[T](f.Out[0]), view[T](f.In[0]), view[T](f.In[1]), view[T](f.In[2])
		rowTasks(f.Pool, rows, r.heads*r.dim, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				for h := range r.heads {
					o := i/r.tokens*r.strides[0] + h*r.strides[1] + i%r.tokens*r.strides[2]
					y, x := dst[o:][:r.headed.dim], src[o:][:r.headed.dim]
					copy(y[r.dim:], x[r.dim:])
					rotate(y[:r.dim], x, cos[at[i]*half:][:half], sin[at[i]*half:][:half], interleaved)
				}
			}
		})
		return nil
	}}
}

// rotate turns pairs of channels: neighbours when interleaved, else one of each half.
func rotate[T float](y, x, cos, sin []T, interleaved bool) {
	step, gap := 1, len(cos)
	if interleaved {
		step, gap = 2, 1
	}
	for k := range cos {
		i := k * step
		a, b := x[i], x[i+gap]
		y[i] = cos[k]*a - sin[k]*b
		y[i+gap] = sin[k]*a + cos[k]*b
	}
}
