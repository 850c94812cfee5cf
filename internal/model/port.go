package model

import "winnow/internal/tensor"

// Integers makes an integer tensor of the type that the port wants, int32 or else int64. It aliases v where it can.
func (p Port) Integers(v []int64, shape ...int) tensor.Tensor {
	if p.DType != tensor.I32 {
		return tensor.FromI64(v, shape...)
	}
	narrow := make([]int32, len(v))
	for i, x := range v {
		narrow[i] = int32(x)
	}
	return tensor.FromI32(narrow, shape...)
}

// Floats makes a float tensor of the type that the port wants. It is float32, aliasing v, for every port that is not of
// another float type; the program reports such a mismatch with names.
func (p Port) Floats(v []float32, shape ...int) tensor.Tensor {
	if p.DType == tensor.F32 || !p.DType.IsFloat() {
		return tensor.FromF32(v, shape...)
	}
	t := tensor.New(p.DType, shape...)
	tensor.NarrowInto(t, 0, v)
	return t
}

// FirstOutput is the first of the names that the network gives.
func (m *Model) FirstOutput(names ...string) (string, bool) {
	for _, name := range names {
		if _, ok := m.Output(name); ok {
			return name, true
		}
	}
	return "", false
}
