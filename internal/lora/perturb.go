package lora

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// PerturbName is the input that [Perturb] adds: [batch], or [1] for all samples alike; samples with a number above 0 are perturbed.
const PerturbName = "perturb"

// selfAttention are the places of one self-attention.
type selfAttention struct {
	name       string        // of the module that holds to_q, to_k, to_v and to_out.0
	value      graph.ValueID // what to_v gives, its bias included: [batch, tokens, channels]
	projection int           // node of to_out.0
}

// Perturb returns a graph in which chosen self-attentions of chosen samples attend to nothing but themselves: the attention map is the
// identity, so that what reaches to_out.0 is what to_v gives. g is not changed. layers are as in diffusers' pag_applied_layers: each is a
// regular expression that is looked for in the names of self-attentions, and must be found in one. The modules are named in the network's order.
// (Ahn et al. 2024, Self-Rectifying Diffusion Sampling with Perturbed-Attention Guidance, arXiv 2403.17377.)
func Perturb(g *graph.Graph, layers []string) (out *graph.Graph, modules []string, err error) {
	s := look(g)
	found := s.selfAttentions(g)
	chosen := map[string]bool{}
	for _, layer := range layers {
		pattern, err := regexp.Compile(layer)
		if err != nil {
			return nil, nil, fmt.Errorf("layer %q: %w", layer, err)
		}
		hits := 0
		for _, a := range found {
			if pattern.MatchString(a.name) {
				chosen[a.name] = true
				hits++
			}
		}
		if hits == 0 {
			return nil, nil, s.noLayer(g.Source, layer, found)
		}
	}
	e := newEditor(g)
	flag := e.input(PerturbName, graph.Dim{Size: -1})
	for _, a := range found {
		if chosen[a.name] {
			e.perturb(a, flag)
			modules = append(modules, a.name)
		}
	}
	return e.finish(), modules, nil
}

// selfAttentions are those whose to_q, to_k and to_v read the same value.
func (s *surveyed) selfAttentions(g *graph.Graph) (found []selfAttention) {
	byName := map[string]*Module{}
	for i := range s.modules {
		byName[s.modules[i].Name] = &s.modules[i]
	}
	for i := range s.modules {
		name, ok := strings.CutSuffix(s.modules[i].Name, ".to_out.0")
		if !ok {
			continue
		}
		q, k, v, o := byName[name+".to_q"], byName[name+".to_k"], byName[name+".to_v"], &s.modules[i]
		if q == nil || k == nil || v == nil || byName[name+".add_v_proj"] != nil {
			continue
		}
		for n := range o.nodes {
			if n >= len(q.nodes) || n >= len(k.nodes) || n >= len(v.nodes) {
				break
			}
			source := g.Nodes[v.nodes[n]].Inputs[0]
			if g.Nodes[q.nodes[n]].Inputs[0] != source || g.Nodes[k.nodes[n]].Inputs[0] != source {
				continue
			}
			found = append(found, selfAttention{name, biased(g, v.nodes[n]), o.nodes[n]})
		}
	}
	return found
}

// biased is the output of a product, behind the addition of a constant where that is its only reader.
func biased(g *graph.Graph, at int) graph.ValueID {
	out := g.Nodes[at].Outputs[0]
	sum, readers := graph.None, 0
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if !slices.Contains(n.Inputs, out) {
			continue
		}
		readers++
		if n.Op == "Add" && standard(n) && slices.ContainsFunc(n.Inputs, func(in graph.ValueID) bool { return g.Value(in).Const != nil }) {
			sum = n.Outputs[0]
		}
	}
	if readers == 1 && sum != graph.None {
		return sum
	}
	return out
}

// perturb chooses between what to_out.0 reads and the values, sample by sample.
func (e *editor) perturb(a selfAttention, flag graph.ValueID) {
	attended := e.src.Nodes[a.projection].Inputs[0]
	w := &writer{editor: e, at: a.projection, label: PerturbName + "." + a.name, into: list(e.ahead, e.producer[attended]), count: map[string]int{}}
	zero := e.constant("zero", tensor.FromF32([]float32{0}, 1))
	shape := e.constant("perturb shape", tensor.FromI64([]int64{-1, 1, 1}, 3))
	on := w.op("Reshape", nil, w.op("Greater", nil, flag, zero), shape)
	n := e.g.Nodes[a.projection]
	n.Inputs = slices.Clone(n.Inputs)
	n.Inputs[0] = w.op("Where", nil, on, a.value, attended)
	e.g.Nodes[a.projection] = n
}

// noLayer says which self-attentions there are.
func (s *surveyed) noLayer(source, layer string, found []selfAttention) error {
	var b strings.Builder
	if source != "" {
		b.WriteString(source + ": ")
	}
	fmt.Fprintf(&b, "layer %q is in the name of no self-attention", layer)
	if why := s.hidden(); why != "" {
		b.WriteString("; " + why)
	}
	var names []string
	for _, a := range found {
		names = append(names, a.name)
	}
	const shown = 12
	if len(names) > 0 {
		b.WriteString("; there are " + strings.Join(names[:min(len(names), shown)], ", "))
	}
	if len(names) > shown {
		fmt.Fprintf(&b, " and %d more", len(names)-shown)
	}
	return errors.New(b.String())
}
