package ldm

import (
	"context"
	"fmt"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// Trainable is an adapter of the denoiser whose factors the caller changes.
type Trainable struct {
	Name    string
	Layers  []lora.Layer // its modules, in the network's order
	Factors []Factor     // A before B of each module
}

// Factor is one matrix of an adapter. Calls read Value as it is then; all zero at first.
type Factor struct {
	lora.Param // the input of the network
	Value      []float32
}

// addTrainable makes the factors of an adapter that was injected.
func (p *Pipeline) addTrainable(in *lora.Injection, a lora.Adapter) {
	t := &Trainable{Name: a.Name}
	for _, l := range in.Layers {
		if l.Adapter == a.Name {
			t.Layers = append(t.Layers, l)
		}
	}
	for _, param := range in.Params(a.Name) {
		v := tensor.New(tensor.F32, param.Shape...)
		t.Factors = append(t.Factors, Factor{param, v.F32()})
		p.factors[lora.UNet][param.Name] = v
	}
	p.Trainable = append(p.Trainable, t)
}

// FactorOptions says which derivatives [Pipeline.FactorGradient] takes.
type FactorOptions struct {
	Adapters   []string // trainable ones; nil: all
	Hidden     bool     // also with respect to the text embeddings
	Checkpoint bool     // keep only the values between blocks for the way back, and compute the rest again
}

// FactorGradient is [Pipeline.DenoiseRows], and then the way back to factors: cot is asked for the derivative of a number with respect
// to the prediction that is in dst. The result is that number's derivative with respect to each factor, by [lora.Param.Name], and
// with Hidden that with respect to the text embeddings, under "encoder_hidden_states".
func (p *Pipeline) FactorGradient(ctx context.Context, dst, x []float32, n, height, width int, ts []float64, c Cond, o FactorOptions,
	cot func() ([]float32, error),
) (map[string][]float32, error) {
	in, err := p.denoiserInputs(x, n, height, width, ts, c)
	if err != nil {
		return nil, err
	}
	spec := graph.GradientSpec{Outputs: []string{p.ports.out}, Checkpoint: o.Checkpoint}
	for _, t := range p.Trainable {
		if o.Adapters == nil || slices.Contains(o.Adapters, t.Name) {
			for _, f := range t.Factors {
				spec.Wrt = append(spec.Wrt, f.Name)
			}
		}
	}
	if o.Hidden {
		spec.Wrt = append(spec.Wrt, p.ports.hidden.Name)
	}
	if len(spec.Wrt) == 0 {
		return nil, fmt.Errorf("ldm: no trainable adapter among %v", o.Adapters)
	}
	back, err := p.denoiserBack(ctx, in, spec, dst, n, height, width, cot)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]float32, len(back))
	for name, t := range back {
		out[name] = t.Float32s()
	}
	return out, nil
}
