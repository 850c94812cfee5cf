package lora

import (
	"errors"
	"slices"
	"strings"

	"winnow/internal/graph"
)

// ErrNoMidBlock says that a network has nothing in its middle: distilled U-Nets leave it out, and transformers have
// none.
var ErrNoMidBlock = errors.New("no mid block")

// MidBlock returns the part of a U-Net that ends in its middle: a graph whose only output is what the mid block says,
// and the name of that. g is not changed, and weights are shared. The block is found by the last convolution of its
// residual networks, from which the sum with what goes past it leads to where the first block on the way up joins it
// with what the way down has kept. Errors are ErrNoMidBlock or tell what hides the block.
func MidBlock(g *graph.Graph) (part *graph.Graph, output string, err error) {
	s, at := look(g), -1
	for i := range s.modules {
		m := &s.modules[i]
		if m.Kind == Conv && strings.HasPrefix(m.Name, "mid_block.resnets.") && strings.HasSuffix(m.Name, ".conv2") {
			at = max(at, m.nodes[len(m.nodes)-1])
		}
	}
	if at < 0 {
		if why := s.hidden(); why != "" {
			return nil, "", errors.New("its mid block is not found; " + why)
		}
		return nil, "", ErrNoMidBlock
	}
	end, ok := junction(g, g.Nodes[at].Outputs[0])
	if !ok {
		return nil, "", errors.New("what its mid block says does not go straight to the first block on the way up, as in diffusers' U-Nets")
	}
	out := *g
	out.Outputs, out.Nodes = []graph.ValueID{end}, upTo(g, end)
	return &out, g.Value(end).Name, nil
}

// junction follows a value through sums, scalings and conversions to the one that is joined with others.
func junction(g *graph.Graph, id graph.ValueID) (graph.ValueID, bool) {
	for range 8 { // a sum, a division by the block's scale, conversions
		var next *graph.Node
		for i := range g.Nodes {
			n := &g.Nodes[i]
			if !standard(n) || !slices.Contains(n.Inputs, id) {
				continue
			}
			if n.Op == "Concat" {
				return id, true
			}
			if next != nil {
				return id, false
			}
			next = n
		}
		if next == nil || !slices.Contains([]string{"Add", "Div", "Mul", "Cast", "Identity"}, next.Op) {
			return id, false
		}
		id = next.Outputs[0]
	}
	return id, false
}

// upTo are the nodes that a value depends on. A graph with subgraphs, which read values by name, keeps all up to its
// producer.
func upTo(g *graph.Graph, end graph.ValueID) []graph.Node {
	needed, last, nested := map[graph.ValueID]bool{end: true}, 0, false
	keep := make([]bool, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- { // readers stand behind what they read
		n := &g.Nodes[i]
		for _, id := range n.Outputs {
			keep[i] = keep[i] || needed[id]
		}
		if keep[i] {
			last = max(last, i)
			for _, id := range n.Inputs {
				needed[id] = true
			}
		}
		for _, a := range n.Attrs {
			nested = nested || a.G != nil
		}
	}
	if nested {
		return slices.Clone(g.Nodes[:last+1])
	}
	var out []graph.Node
	for i, n := range g.Nodes {
		if keep[i] {
			out = append(out, n)
		}
	}
	return out
}
