package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "DynamicQuantizeLinear", Since: 11, Infer: inferDynamicQuantize, Compile: compileDynamicQuantize})
}

func inferDynamicQuantize(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 3, 3); err != nil {
		return err
	}
	if c.In[0].DType != tensor.F32 {
		return badInput(c, 0, "has type %v, want float32", c.In[0].DType)
	}
	return setOut(c, Type{tensor.U8, c.In[0].Shape}, Type{tensor.F32, []int{}}, Type{tensor.U8, []int{}})
}

// compileDynamicQuantize maps the range of the input, widened to include 0, to 0…255.
func compileDynamicQuantize(*NodeCtx) (Kernel, error) {
	return run(func(f *Frame) {
		src := view[float32](f.In[0])
		lo, hi := float32(0), float32(0)
		for _, v := range src {
			lo, hi = min(lo, v), max(hi, v)
		}
		scale := (hi - lo) / 255
		zero := 0.0
		if scale > 0 {
			zero = math.RoundToEven(math.Max(0, math.Min(255, float64(-lo/scale))))
		}
		for i, v := range src {
			y := zero
			if scale > 0 {
				y += math.RoundToEven(float64(v / scale))
			}
			f.Out[0].Data[i] = uint8(math.Max(0, math.Min(255, y)))
		}
		view[float32](f.Out[1])[0] = scale
		f.Out[2].Data[0] = uint8(zero)
	}), nil
}
