package graph

import "winnow/internal/tensor"

// castSmall converts from or to a type of less than 16 bits, by way of float64.
func castSmall(c *NodeCtx, from, to tensor.DType) (Kernel, error) {
	if from == to {
		return run(func(f *Frame) { copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data) }), nil
	}
	read := numbersReader(from)
	if !to.IsSmall() {
		k := castFrom[float64](to)
		return Kernel{Run: func(f *Frame) error {
			wide := *f
			wide.In = []tensor.Tensor{tensor.FromF64(read(f.In[0]), f.In[0].Shape...)}
			return k.Run(&wide)
		}}, nil
	}
	encode, err := smallEncoder(c, to)
	if err != nil {
		return Kernel{}, err
	}
	return run(func(f *Frame) {
		dst, src := f.Out[0].Data, read(f.In[0])
		chunks(f.Pool, len(src), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				dst[i] = encode(src[i])
			}
		})
	}), nil
}

// smallEncoder returns the conversion that attributes saturate and round_mode choose. Integers keep their low bits.
func smallEncoder(c *NodeCtx, to tensor.DType) (func(v float64) byte, error) {
	saturate := c.AttrInt("saturate", 1) != 0
	switch mode := c.AttrString("round_mode", "up"); {
	case to == tensor.F8E8M0 && mode != "up" && mode != "down" && mode != "nearest":
		return nil, c.Refuse("round_mode", mode+" is not known")
	case to == tensor.F8E8M0:
		return func(v float64) byte { return tensor.F64ToScale(v, mode, saturate) }, nil
	case to.IsSmallFloat():
		return func(v float64) byte { return tensor.F64ToSmall(to, v, saturate) }, nil
	}
	return func(v float64) byte { return toInt[float64, uint8](v) & smallMask(to) }, nil
}

// smallMask covers the bits of an element in its byte.
func smallMask(dt tensor.DType) byte { return 0xff >> (8 - 8/dt.PerByte()) }

// smallReader returns a function that reads a tensor of a small type as float64, by a table of all its numbers.
func smallReader(dt tensor.DType) func(t tensor.Tensor) []float64 {
	var table [256]float64
	for b := range table {
		table[b] = tensor.SmallToF64(dt, byte(b))
	}
	return func(t tensor.Tensor) []float64 {
		out := make([]float64, len(t.Data))
		for i, b := range t.Data {
			out[i] = table[b]
		}
		return out
	}
}
