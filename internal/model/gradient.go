package model

import (
	"context"
	"fmt"

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

// VJP runs the network forth and back. cotangents is given the outputs and answers with the derivative of a number with respect
// to those of spec.Outputs; the result is its derivative with respect to the inputs of spec.Wrt, which belongs to the caller. The
// compiled program is kept for the next call of the same shapes and spec; another call drops it, since it holds every value
// between the layers. Calls at the same time each have their own.
func (m *Model) VJP(ctx context.Context, in map[string]tensor.Tensor, spec graph.GradientSpec,
	cotangents func(out map[string]tensor.Tensor) (map[string]tensor.Tensor, error),
) (map[string]tensor.Tensor, error) {
	key := m.gradientKey(in, spec)
	g, err := m.takeGradient(key, in, spec)
	if err != nil {
		return nil, err
	}
	defer m.keepGradient(key, g)
	out, err := g.Forward(ctx, in)
	if err != nil {
		return nil, err
	}
	cot, err := cotangents(out)
	if err != nil {
		return nil, err
	}
	return g.Backward(ctx, cot)
}

func (m *Model) gradientKey(in map[string]tensor.Tensor, spec graph.GradientSpec) string {
	types := make(map[string]graph.Type, len(in))
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	return shapeKey(types) + fmt.Sprint(spec)
}

// takeGradient takes the kept program where it fits, and compiles one otherwise.
func (m *Model) takeGradient(key string, in map[string]tensor.Tensor, spec graph.GradientSpec) (graph.Gradient, error) {
	m.mu.Lock()
	g, fits := m.gradient, m.gradientFor == key
	m.gradient, m.gradientFor = nil, ""
	m.mu.Unlock()
	if g != nil && fits {
		return g, nil
	}
	if g != nil {
		g.Close()
	}
	return m.Gradient(in, spec)
}

func (m *Model) keepGradient(key string, g graph.Gradient) {
	m.mu.Lock()
	old := m.gradient
	m.gradient, m.gradientFor = g, key
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
}
