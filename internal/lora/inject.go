package lora

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Adapter says which modules get a LoRA and of what size. The fields are those of PEFT's LoraConfig.
type Adapter struct {
	Name    string
	Rank    int                // r
	Alpha   float64            // the product is scaled by alpha/r; 0 means alpha = r
	Targets []string           // target_modules: whole names, ends of names such as "to_out.0", or AllLinear
	Pattern string             // target_modules given as one regular expression for whole names
	Modules []string           // whole names, besides Targets and Pattern
	Exclude []string           // exclude_modules, by the rule of Targets
	Ranks   map[string]int     // rank of single modules by whole name
	Alphas  map[string]float64 // alpha of single modules by whole name
}

// Param is one of the inputs that Inject adds: float32, in PEFT's layout.
type Param struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// Layer is one module with an adapter.
type Layer struct {
	Adapter string  `json:"adapter"`
	Module  string  `json:"module"`
	Kind    Kind    `json:"kind"`
	Rank    int     `json:"rank"`
	Scale   float64 `json:"scale"`  // alpha/r
	A       Param   `json:"lora_a"` // Linear [r, in]; Conv [r, in, kernel…]
	B       Param   `json:"lora_b"` // Linear [out, r]; Conv [out, r, 1…]
}

// Injection is a network with adapters.
type Injection struct {
	Graph  *graph.Graph
	Layers []Layer // by adapter, and in the network's order
}

// ScaleName is the input that holds an adapter's scale: [batch], or [1] for all samples alike.
func ScaleName(adapter string) string { return "lora." + adapter + ".scale" }

// paramName is the input that holds a factor: half is A or B.
func paramName(adapter, module, half string) string {
	return "lora." + adapter + "." + module + ".lora_" + half + ".weight"
}

// Params lists the factors of one adapter, A before B, in the network's order.
func (in *Injection) Params(adapter string) []Param {
	var out []Param
	for _, l := range in.Layers {
		if l.Adapter == adapter {
			out = append(out, l.A, l.B)
		}
	}
	return out
}

// Types are the types of all inputs that Inject added, to compile with. scales is the number of samples, or 1.
func (in *Injection) Types(scales int) map[string]graph.Type {
	types := map[string]graph.Type{}
	for _, l := range in.Layers {
		for _, p := range []Param{l.A, l.B} {
			types[p.Name] = graph.Type{DType: tensor.F32, Shape: p.Shape}
		}
		types[ScaleName(l.Adapter)] = graph.Type{DType: tensor.F32, Shape: []int{scales}}
	}
	return types
}

// surveyed is what List finds, and what may hide modules.
type surveyed struct {
	modules         []Module
	nameless, fused int
}

func look(g *graph.Graph) *surveyed {
	s := &surveyed{}
	s.modules, s.nameless = survey(g)
	for i := range g.Nodes {
		if !standard(&g.Nodes[i]) {
			s.fused++
		}
	}
	return s
}

// Inject returns a graph that computes what g computes with adapters added; g is not changed, and weights are shared.
// Factors and scales become inputs: lora.<adapter>.<module>.lora_A.weight, …lora_B.weight and lora.<adapter>.scale.
//
// The first axis of every adapted activation must hold whole samples: [batch, …] or, after a Reshape, [batch·tokens, …].
// A graph where it does not fails to compile with an error that names the module. A target that matches nothing is a
// *TargetError.
func Inject(g *graph.Graph, adapters ...Adapter) (*Injection, error) {
	s := look(g)
	e := newEditor(g)
	out := &Injection{}
	for i := range adapters {
		a := &adapters[i]
		if err := a.check(g, adapters[:i]); err != nil {
			return nil, err
		}
		modules, err := a.chosen(g.Source, s)
		if err != nil {
			return nil, err
		}
		e.scale(a)
		for _, m := range modules {
			l, err := a.layer(g, m)
			if err != nil {
				return nil, err
			}
			e.adapt(m, l)
			out.Layers = append(out.Layers, l)
		}
	}
	if err := e.checkBatch(); err != nil {
		return nil, err
	}
	out.Graph = e.finish()
	return out, nil
}

// check refuses names that cannot be told apart, and sizes that make no sense.
func (a *Adapter) check(g *graph.Graph, before []Adapter) error {
	_, taken := g.Lookup(ScaleName(a.Name))
	switch {
	case a.Name == "" || strings.ContainsAny(a.Name, "./ "):
		return fmt.Errorf("adapter name %q: want a word without dots, slashes and spaces", a.Name)
	case taken || slices.ContainsFunc(before, func(b Adapter) bool { return b.Name == a.Name }):
		return fmt.Errorf("adapter %q is there already; give each adapter a name of its own", a.Name)
	}
	return nil
}

// layer works out the factors of one module.
func (a *Adapter) layer(g *graph.Graph, m *Module) (Layer, error) {
	r, alpha := a.Rank, a.Alpha
	if v, ok := a.Ranks[m.Name]; ok {
		r = v
	}
	if v, ok := a.Alphas[m.Name]; ok {
		alpha = v
	}
	if alpha == 0 {
		alpha = float64(r)
	}
	l := Layer{Adapter: a.Name, Module: m.Name, Kind: m.Kind, Rank: r, Scale: alpha / float64(r)}
	bad := func(why string) error {
		return &graph.UnsupportedError{
			Source: g.Source, Node: g.Nodes[m.nodes[0]].Label(), Op: g.Nodes[m.nodes[0]].Op,
			Opset: g.Nodes[m.nodes[0]].Opset, Why: fmt.Sprintf("adapter %q, module %q: %s", a.Name, m.Name, why),
		}
	}
	switch {
	case r < 1:
		return l, bad(fmt.Sprintf("rank %d: want 1 or more", r))
	case m.Groups > 1:
		return l, bad("a convolution in groups takes no LoRA; leave it out of the targets")
	case m.element == tensor.F64:
		return l, bad("float64 weights take no LoRA; export the network in float32")
	}
	l.A = Param{paramName(a.Name, m.Name, "A"), append([]int{r, m.In}, m.Kernel...)}
	l.B = Param{paramName(a.Name, m.Name, "B"), append([]int{m.Out, r}, slices.Repeat([]int{1}, len(m.Kernel))...)}
	return l, nil
}
