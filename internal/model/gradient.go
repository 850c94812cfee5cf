package model

import (
	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Gradient compiles the network with its reverse pass for inputs of these types. The caller closes it.
func (m *Model) Gradient(in map[string]tensor.Tensor, spec graph.GradientSpec) (graph.Gradient, error) {
	types := make(map[string]graph.Type, len(in))
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	return m.executor().CompileGradient(m.file.Graph, types, spec)
}
