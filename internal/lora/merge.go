package lora

import (
	"fmt"
	"math"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Merged is a weight of a graph with adapters added: same type, same shape, other bytes.
type Merged struct {
	Module string
	Name   string         // of the constant in the graph
	Old    *tensor.Tensor // the constant, whose bytes may lie in a mapped file
	Data   []byte
}

// Merge adds adapters to the weights of a graph, each times its scale; the graph stays as it is. The sums are rounded to the type of
// the weights. A weight that another module reads too, or that the graph scales, is an error.
func Merge(g *graph.Graph, all []*Weights, scales []float64) ([]Merged, error) {
	if len(all) != len(scales) {
		return nil, fmt.Errorf("lora: %d adapters, %d scales", len(all), len(scales))
	}
	c, s := newConstants(g), look(g)
	var out []Merged
	for i := range s.modules {
		m := &s.modules[i]
		var parts []Factors
		for k, w := range all {
			if f, ok := w.Factors(m.Name); ok && scales[k] != 0 {
				f.Alpha = f.Scale() * float64(f.Rank()) * scales[k]
				if f.Alpha != 0 {
					parts = append(parts, f)
				}
			}
		}
		if len(parts) == 0 {
			continue
		}
		one, err := c.merge(m, s.modules, parts)
		if err != nil {
			return nil, fmt.Errorf("%s: module %q: %w", g.Source, m.Name, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// Factors are the adapter of a module, which share memory with w.
func (w *Weights) Factors(module string) (Factors, bool) {
	pair, ok := w.factors[module]
	return Factors{Module: module, A: pair[0], B: pair[1], Alpha: w.alphas[module]}, ok
}

// All are the adapters of all modules, in the network's order.
func (w *Weights) All() []Factors {
	var out []Factors
	for _, m := range w.Modules {
		f, _ := w.Factors(m)
		out = append(out, f)
	}
	return out
}

func (c *constants) merge(m *Module, modules []Module, parts []Factors) (Merged, error) {
	n := &c.g.Nodes[m.nodes[0]]
	o, ok := c.trace(n.Inputs[1])
	if !ok {
		return Merged{}, fmt.Errorf("its weight is no constant")
	}
	if alpha := n.Attrs["alpha"]; n.Op == "Gemm" && alpha.Kind == graph.AttrFloat && alpha.F != 1 {
		return Merged{}, fmt.Errorf("the network multiplies its weight by %g: merging is not supported there", alpha.F)
	}
	if other := c.sharer(m, modules, o.id); other != "" {
		return Merged{}, fmt.Errorf("its weight is that of %q too", other)
	}
	v := c.g.Value(o.id)
	flipped := c.flips(n.Inputs[1])
	if m.Kind == Linear && n.Attrs["transB"].I == 0 {
		flipped = !flipped // the product reads [in, out], rows here are outputs
	}
	data, err := added(v.Const, parts, flipped)
	return Merged{Module: m.Name, Name: v.Name, Old: v.Const, Data: data}, err
}

// sharer is another module, or another node, that reads the constant.
func (c *constants) sharer(m *Module, modules []Module, id graph.ValueID) string {
	for i := range modules {
		other := &modules[i]
		if other.Name == m.Name {
			continue
		}
		for _, at := range other.nodes {
			if o, ok := c.trace(c.g.Nodes[at].Inputs[1]); ok && o.id == id {
				return other.Name
			}
		}
	}
	for i := range c.g.Nodes {
		n := &c.g.Nodes[i]
		if slices.Contains(m.nodes, i) || n.Op == "Identity" || n.Op == "Cast" || n.Op == "Transpose" {
			continue
		}
		for _, in := range n.Inputs {
			if o, ok := c.trace(in); ok && o.id == id && !slices.ContainsFunc(modules, func(x Module) bool { return slices.Contains(x.nodes, i) }) {
				return n.Label()
			}
		}
	}
	return ""
}

// flips reports whether the file transposes the constant on the way to the product.
func (c *constants) flips(id graph.ValueID) bool {
	flipped := false
	for c.g.Value(id).Const == nil {
		n := c.producer[id]
		perm, given := n.Attrs["perm"]
		if n.Op == "Transpose" && (!given || slices.Equal(perm.Ints, []int64{1, 0})) {
			flipped = !flipped
		}
		id = n.Inputs[0]
	}
	return flipped
}

// added is the weight plus the products, rounded once. The weight's rows are outputs, or its columns if flipped.
func added(w *tensor.Tensor, parts []Factors, flipped bool) ([]byte, error) {
	sum := slices.Clone(w.Float32s())
	out := parts[0].B.Shape[0]
	n := len(sum) / out
	row := make([]float64, n)
	for o := range out {
		total := make([]float64, n)
		for k := range parts {
			parts[k].row(row, o)
			for j, x := range row {
				total[j] += x
			}
		}
		for j, x := range total {
			at := o*n + j
			if flipped {
				at = j*out + o
			}
			sum[at] = float32(float64(sum[at]) + x)
		}
	}
	t := tensor.New(w.DType, w.Shape...)
	tensor.NarrowInto(t, 0, sum)
	for _, x := range t.Float32s() {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, fmt.Errorf("the sum is beyond %v", w.DType)
		}
	}
	return t.Data, nil
}
