package ldm

import (
	"context"
	"fmt"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// Trainable is an adapter of one network whose factors the caller changes.
type Trainable struct {
	Name    string       // of Options; scales go by it, in all networks that have the adapter
	Network string       // component: unet or transformer, text_encoder, text_encoder_2
	Layers  []lora.Layer // its modules, in the network's order
	Factors []Factor     // A before B of each module
	scale   string       // the input of the network
}

// Factor is one matrix of an adapter. Calls read Value as it is then; all zero at first.
type Factor struct {
	lora.Param // the input of the network
	Value      []float32
}

// inputName is what a network calls a trainable adapter. Names of factors tell the text encoders apart by it.
func (p *Pipeline) inputName(adapter, network string) string {
	if network == p.Denoiser {
		return adapter
	}
	return adapter + "_" + network
}

// trainableOf are the adapters that Options ask of a network.
func (p *Pipeline) trainableOf(network string) []lora.Adapter {
	if network == p.Denoiser {
		return p.trainable
	}
	return p.ofTexts
}

// trainableInputs are the trainable adapters of a network as its graph gets them. Layers of a text encoder that the denoiser reads nothing
// of, as of those behind the last but one of XL's first, have none: torch leaves their factors without a derivative, and untouched.
func (p *Pipeline) trainableInputs(network string, g *graph.Graph) ([]lora.Adapter, error) {
	var unread []string
	for i := range p.texts {
		if component(lora.TextEncoder, i) == network && len(p.ofTexts) > 0 {
			names, err := p.textNames(i)
			if err != nil {
				return nil, err
			}
			unread = lora.Unread(g, names)
		}
	}
	var out []lora.Adapter
	for _, a := range p.trainableOf(network) {
		a.Name, a.Exclude = p.inputName(a.Name, network), append(slices.Clone(a.Exclude), unread...)
		out = append(out, a)
	}
	return out, nil
}

// addTrainable makes the factors of an adapter that was injected.
func (p *Pipeline) addTrainable(in *lora.Injection, network, name string) {
	as := p.inputName(name, network)
	t := &Trainable{Name: name, Network: network, scale: lora.ScaleName(as)}
	for _, l := range in.Layers {
		if l.Adapter == as {
			t.Layers = append(t.Layers, l)
		}
	}
	for _, param := range in.Params(as) {
		v := tensor.New(tensor.F32, param.Shape...)
		t.Factors = append(t.Factors, Factor{param, v.F32()})
		p.factors[network][param.Name] = v
	}
	p.Trainable = append(p.Trainable, t)
}

// factorsOf names the factors of a network's trainable adapters; nil means those of all.
func (p *Pipeline) factorsOf(network string, adapters []string) []string {
	var out []string
	for _, t := range p.Trainable {
		if t.Network == network && (adapters == nil || slices.Contains(adapters, t.Name)) {
			for _, f := range t.Factors {
				out = append(out, f.Name)
			}
		}
	}
	return out
}

// Names of the derivatives with respect to text embeddings: those of a U-Net's inputs.
const (
	HiddenStates = "encoder_hidden_states"
	TextEmbeds   = "text_embeds"
)

// FactorOptions says which derivatives [Pipeline.FactorGradient] takes.
type FactorOptions struct {
	Adapters   []string // trainable ones; nil: all
	Hidden     bool     // also with respect to the text embeddings, and to the pooled ones where there are any
	Checkpoint bool     // keep only the values between blocks for the way back, and compute the rest again
}

// FactorGradient is [Pipeline.DenoiseRows], and then the way back to factors: cot is asked for the derivative of a number with respect
// to the prediction that is in dst. The result is that number's derivative with respect to each factor of the denoiser, by
// [lora.Param.Name], and with Hidden that with respect to the text embeddings, under [HiddenStates] and [TextEmbeds].
func (p *Pipeline) FactorGradient(ctx context.Context, dst, x []float32, n, height, width int, ts []float64, c Cond, o FactorOptions,
	cot func() ([]float32, error),
) (map[string][]float32, error) {
	in, err := p.denoiserInputs(x, n, height, width, ts, c)
	if err != nil {
		return nil, err
	}
	spec := graph.GradientSpec{Outputs: []string{p.ports.out}, Wrt: p.factorsOf(p.Denoiser, o.Adapters), Checkpoint: o.Checkpoint}
	if o.Hidden {
		spec.Wrt = append(spec.Wrt, p.ports.hidden.Name)
		if p.ports.pooled != nil {
			spec.Wrt = append(spec.Wrt, p.ports.pooled.Name)
		}
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
		if p.ports.pooled != nil && name == p.ports.pooled.Name {
			name = TextEmbeds
		}
		out[name] = t.Float32s()
	}
	return out, nil
}
