package ldm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

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

// AdapterFile is a LoRA of the denoiser to be loaded.
type AdapterFile struct {
	Path  string // safetensors file, or a folder with one
	Scale float64
	Side  Side
}

// Adapter is a LoRA of the denoiser that was loaded.
type Adapter struct {
	AdapterFile
	*lora.Weights
	input string // name of its scale
}

// loadAdapters reads the adapters and writes them, and what perturbs attention, into the denoiser's graph.
func (p *Pipeline) loadAdapters(*model.Options) error {
	g := p.denoiser.File().Graph
	if len(p.perturb) > 0 {
		var err error
		if g, p.Perturbed, err = lora.Perturb(g, p.perturb); err != nil {
			return err
		}
		p.denoiser.SetGraph(g)
	}
	if len(p.wanted)+len(p.trainable) == 0 {
		return nil
	}
	var into []lora.Adapter
	for i, file := range p.wanted {
		w, err := lora.Read(file.Path, g)
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
		name := "lora" + strconv.Itoa(i+1)
		into = append(into, w.Adapter(name))
		p.Adapters = append(p.Adapters, Adapter{file, w, lora.ScaleName(name)})
	}
	injected, err := lora.Inject(g, append(into, p.trainable...)...)
	if err != nil {
		return err
	}
	p.factors = map[string]tensor.Tensor{}
	for i, a := range p.Adapters {
		maps.Copy(p.factors, a.Inputs(injected, into[i].Name))
	}
	for _, a := range p.trainable {
		p.addTrainable(injected, a)
	}
	p.denoiser.SetGraph(injected.Graph)
	return nil
}

// addAdapters adds the inputs of the adapters for n rows.
func (p *Pipeline) addAdapters(in map[string]tensor.Tensor, n int, c *Cond) {
	maps.Copy(in, p.factors)
	if len(p.Perturbed) > 0 {
		flags := make([]float32, n)
		for row := n - c.Perturbed; row < n; row++ {
			flags[row] = 1
		}
		in[lora.PerturbName] = tensor.FromF32(flags, n)
	}
	for _, a := range p.Adapters {
		scales := make([]float32, n)
		for row := range scales {
			if a.Side == Both || (a.Side == Negative) == (row < c.Negative) {
				scales[row] = float32(a.Scale)
			}
		}
		in[a.input] = tensor.FromF32(scales, n)
	}
	for _, t := range p.Trainable {
		scales := c.Scales[t.Name]
		if scales == nil {
			scales = slices.Repeat([]float32{1}, n)
		}
		in[lora.ScaleName(t.Name)] = tensor.FromF32(scales, n)
	}
}
