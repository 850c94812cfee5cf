package cli

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/model"
)

// plan is what a compiled network needs for inputs of the shapes shown.
type plan struct {
	Inputs      map[string][]int `json:"inputs"`
	Steps       int              `json:"steps"`
	ArenaBytes  int              `json:"arena_bytes"`
	PackedBytes int              `json:"packed_bytes"`
	WeightBytes int              `json:"weight_bytes"` // packed ones, and those read as they are
	SavedBytes  int              `json:"saved_bytes"`  // values kept between forward and backward pass, part of the arena
	Flops       float64          `json:"flops"`
	Fused       map[string]int   `json:"fused"`
}

// openSize stands for a size that the file leaves open: pictures and latents
// have four axes, token embeddings and ids fewer.
func openSize(axis, rank, batch int) int {
	switch {
	case axis == 0:
		return max(batch, 1)
	case rank == 4:
		return 64
	}
	return 77
}

// planOf compiles a network for the shapes given.
func planOf(m *model.Model, o *inspectOptions, shapes map[string][]int, opt *model.Options) (*plan, error) {
	p := &plan{Inputs: map[string][]int{}}
	types := map[string]graph.Type{}
	symbols := boundSymbols(m, shapes)
	for _, in := range m.Inputs() {
		shape := slices.Clone(in.Shape)
		for i, d := range shape {
			if d >= 0 {
				continue
			}
			size, bound := symbols[in.Dims[i]]
			if !bound {
				size = openSize(i, len(shape), symbols[batch])
			}
			if in.Dims[i] != "?" {
				symbols[in.Dims[i]] = size
			}
			shape[i] = size
		}
		if s, ok := shapes[in.Name]; ok {
			shape = s
		}
		types[in.Name] = graph.Type{DType: in.DType, Shape: shape}
		p.Inputs[in.Name] = shape
	}
	s, err := planStats(m, types, o, opt)
	if err != nil {
		return nil, err
	}
	p.Steps, p.ArenaBytes, p.SavedBytes, p.WeightBytes = s.Steps, s.ArenaBytes, s.SavedBytes, s.PackedBytes+s.ConstBytes
	p.PackedBytes, p.Flops, p.Fused = s.PackedBytes, s.Flops, s.Fused
	return p, nil
}

// planStats compiles the network alone, or with its reverse pass when a gradient is asked for.
func planStats(m *model.Model, types map[string]graph.Type, o *inspectOptions, opt *model.Options) (graph.Stats, error) {
	if len(o.gradient) == 0 {
		program, err := m.Compile(types)
		if err != nil {
			return graph.Stats{}, err
		}
		return program.Stats(), nil
	}
	spec := graph.GradientSpec{Wrt: o.gradient, Checkpoint: o.checkpoint}
	program, err := graph.CompileGradient(m.File().Graph, types, spec, &graph.Options{Pool: opt.Pool})
	if err != nil {
		return graph.Stats{}, err
	}
	defer program.Close()
	return program.Program().Stats(), nil
}

// batch is the key of the batch size among the named sizes; no symbol is empty.
const batch = ""

// boundSymbols are the named sizes that --shape decides, so that a batch size
// given for one input holds for all.
func boundSymbols(m *model.Model, shapes map[string][]int) map[string]int {
	symbols := map[string]int{}
	for _, in := range m.Inputs() {
		for i, d := range shapes[in.Name] {
			if i < len(in.Dims) && in.Shape[i] < 0 && in.Dims[i] != "?" {
				symbols[in.Dims[i]] = d
				if i == 0 {
					symbols[batch] = d
				}
			}
		}
	}
	return symbols
}

func planText(p *plan) string {
	var in []string
	for _, name := range sortedKeys(p.Inputs) {
		in = append(in, fmt.Sprintf("%s %v", name, p.Inputs[name]))
	}
	saved := ""
	if p.SavedBytes > 0 {
		saved = fmt.Sprintf(" (%s kept for the backward pass)", size(int64(p.SavedBytes)))
	}
	return fmt.Sprintf("%d kernel calls, %.3g GFLOP, %s of working memory%s, %s of weights (%s packed), for %s",
		p.Steps, p.Flops/1e9, size(int64(p.ArenaBytes)), saved, size(int64(p.WeightBytes)), size(int64(p.PackedBytes)),
		strings.Join(in, ", "))
}
