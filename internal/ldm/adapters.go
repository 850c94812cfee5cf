package ldm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

// Side says which rows of a call an adapter changes.
type Side int

// Sides of a guided call. A call without guidance has positive rows only.
const (
	Both Side = iota
	Positive
	Negative
)

// AdapterFile is a LoRA to be loaded.
type AdapterFile struct {
	Path  string // safetensors file, or a folder with one
	Scale float64
	Side  Side // of the denoiser's calls
}

// Adapter is a LoRA that was loaded, for one network or several.
type Adapter struct {
	AdapterFile
	Networks map[string]*lora.Weights // by component: unet or transformer, text_encoder, text_encoder_2
	input    string                   // name of its scale in each of them
}

// Modules is the number of modules that it changes, in all networks.
func (a *Adapter) Modules() int {
	n := 0
	for _, w := range a.Networks {
		n += len(w.Modules)
	}
	return n
}

// MaxRank is the largest rank in it.
func (a *Adapter) MaxRank() int {
	r := 0
	for _, w := range a.Networks {
		r = max(r, w.MaxRank)
	}
	return r
}

// Any is one of its networks, for what they have in common.
func (a *Adapter) Any() *lora.Weights {
	for _, name := range slices.Sorted(maps.Keys(a.Networks)) {
		return a.Networks[name]
	}
	return nil
}

// adaptable are the networks that adapters may change, by component.
func (p *Pipeline) adaptable() map[string]*model.Model {
	all := map[string]*model.Model{p.Denoiser: p.denoiser}
	for i, m := range p.texts {
		all[component(lora.TextEncoder, i)] = m
	}
	return all
}

// adaptableNames are their components, the denoiser's first.
func (p *Pipeline) adaptableNames() []string {
	names := []string{p.Denoiser}
	for i := range p.texts {
		names = append(names, component(lora.TextEncoder, i))
	}
	return names
}

// loadAdapters reads the adapters and writes them into the networks' graphs, and what perturbs attention and can be trained into the
// denoiser's.
func (p *Pipeline) loadAdapters(*model.Options) error {
	networks, graphs := p.adaptable(), map[string]*graph.Graph{}
	for name, m := range networks {
		graphs[name] = m.File().Graph
	}
	if len(p.perturb) > 0 {
		if err := p.perturbAttention(graphs); err != nil {
			return err
		}
	}
	into := map[string][]lora.Adapter{}
	if err := p.readAdapters(graphs, into); err != nil {
		return err
	}
	if p.initial != "" {
		var err error
		if p.Initial, err = lora.ReadNetworks(p.initial, graphs); err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
	}
	if len(p.trainable) > 0 {
		frozen, err := lora.Inject(graphs[p.Denoiser], into[p.Denoiser]...)
		if err != nil {
			return err
		}
		p.frozen = p.denoiser.Variant(frozen.Graph)
	}
	for network := range networks {
		own, err := p.trainableInputs(network, graphs[network])
		if err != nil {
			return err
		}
		into[network] = append(into[network], own...)
	}
	p.factors = map[string]map[string]tensor.Tensor{p.Denoiser: {}}
	for _, network := range p.adaptableNames() {
		if len(into[network]) == 0 {
			continue
		}
		injected, err := lora.Inject(graphs[network], into[network]...)
		if err != nil {
			return err
		}
		p.fillAdapters(injected, network)
		networks[network].SetGraph(injected.Graph)
	}
	return nil
}

// perturbAttention gives the denoiser's graph the input that perturbed-attention guidance switches self-attentions off by.
func (p *Pipeline) perturbAttention(graphs map[string]*graph.Graph) (err error) {
	if p.SD3 {
		return fmt.Errorf("%s: perturbed-attention guidance knows the self-attentions of U-Nets, not joint attention: choose another guidance", p.denoiser.Path())
	}
	if graphs[p.Denoiser], p.Perturbed, err = lora.Perturb(graphs[p.Denoiser], p.perturb); err != nil {
		return err
	}
	p.denoiser.SetGraph(graphs[p.Denoiser])
	return nil
}

// fillAdapters keeps the factors of adapters that were read, and makes those of trainable ones.
func (p *Pipeline) fillAdapters(injected *lora.Injection, network string) {
	p.factors[network] = map[string]tensor.Tensor{}
	for i, a := range p.Adapters {
		if w := a.Networks[network]; w != nil {
			maps.Copy(p.factors[network], w.Inputs(injected, adapterName(i)))
		}
	}
	for _, a := range p.trainableOf(network) {
		p.addTrainable(injected, network, a.Name)
	}
}

// adapterName is what the graphs call adapter i.
func adapterName(i int) string { return "lora" + strconv.Itoa(i+1) }

// readAdapters reads the files and appends what each network gets to into.
func (p *Pipeline) readAdapters(graphs map[string]*graph.Graph, into map[string][]lora.Adapter) error {
	for i, file := range p.wanted {
		all, err := lora.ReadNetworks(file.Path, graphs)
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
		if file.Side != Both && (len(all) > 1 || all[p.Denoiser] == nil) {
			return fmt.Errorf("adapter: %s changes text encoders, whose output both sides of guidance read: it cannot be limited to one side", file.Path)
		}
		for network, w := range all {
			into[network] = append(into[network], w.Adapter(adapterName(i)))
		}
		p.Adapters = append(p.Adapters, Adapter{file, all, lora.ScaleName(adapterName(i))})
	}
	return nil
}

// addDenoiserInputs adds the inputs of all that was written into the denoiser's graph, for n rows.
func (p *Pipeline) addDenoiserInputs(in map[string]tensor.Tensor, n int, c *Cond) {
	p.addAdapters(p.Denoiser, in, n, c.Negative)
	if len(p.Perturbed) > 0 {
		flags := make([]float32, n)
		for row := n - c.Perturbed; row < n; row++ {
			flags[row] = 1
		}
		in[lora.PerturbName] = tensor.FromF32(flags, n)
	}
	p.addScales(p.Denoiser, in, n, c.Scales)
}

// addScales adds the scales of a network's trainable adapters for n rows: one number where all rows have the same, which lets the
// network add the adapter to its weights.
func (p *Pipeline) addScales(network string, in map[string]tensor.Tensor, n int, all map[string][]float32) {
	for _, t := range p.Trainable {
		if t.Network != network {
			continue
		}
		scales := all[t.Name]
		if scales == nil {
			scales = []float32{1}
		}
		if !slices.ContainsFunc(scales, func(v float32) bool { return v != scales[0] }) {
			scales = scales[:1]
		}
		in[t.scale] = tensor.FromF32(scales, len(scales))
	}
}

// still reports whether the scales switch all trainable adapters off: the denoiser is then p.frozen, which lacks them.
func (p *Pipeline) still(c *Cond) bool {
	if p.frozen == nil {
		return false
	}
	for _, t := range p.Trainable {
		s := c.Scales[t.Name]
		if s == nil || slices.ContainsFunc(s, func(v float32) bool { return v != 0 }) {
			return false
		}
	}
	return true
}

// dropTrainable takes the inputs of trainable adapters out.
func (p *Pipeline) dropTrainable(in map[string]tensor.Tensor) {
	for _, t := range p.Trainable {
		delete(in, lora.ScaleName(t.Name))
		for _, f := range t.Factors {
			delete(in, f.Name)
		}
	}
}

// addAdapters adds the inputs of a network's adapters for n rows, the first of which are on the negative side.
func (p *Pipeline) addAdapters(network string, in map[string]tensor.Tensor, n, negative int) {
	maps.Copy(in, p.factors[network])
	for _, a := range p.Adapters {
		if a.Networks[network] == nil {
			continue
		}
		scales := make([]float32, n)
		for row := range scales {
			if a.Side == Both || (a.Side == Negative) == (row < negative) {
				scales[row] = float32(a.Scale)
			}
		}
		in[a.input] = tensor.FromF32(scales, n)
	}
}
