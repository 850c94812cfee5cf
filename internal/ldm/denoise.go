package ldm

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"winnow/internal/model"
	"winnow/internal/tensor"
)

// denoiserPorts are the inputs of the denoiser, found by name. Exporters agree on these names; optional ones are nil.
type denoiserPorts struct {
	sample, timestep, hidden  *model.Port
	pooled, timeIDs, condProj *model.Port
	out                       string
}

// Cond is what a denoiser is conditioned on, one row per sample.
type Cond struct {
	Hidden  tensor.Tensor // [n, tokens, dim] text embeddings
	Pooled  tensor.Tensor // [n, dim] pooled text embeddings; XL and SD3 only
	TimeIDs tensor.Tensor // [n, 6] original height and width, crop top and left, target height and width; XL only
	// Negative is how many of the rows, counted from the first, are the negative side of guidance, which adapters may be
	// limited to or kept from.
	Negative int
	// Perturbed is how many of the rows, counted from the last, go without the self-attentions of Pipeline.Perturbed.
	Perturbed int
	// Scales are those of trainable adapters by name, one a row; nil means 1 for all rows.
	Scales map[string][]float32
}

func (p *Pipeline) loadDenoiser(opt *model.Options) error {
	var err error
	if p.denoiser, err = network(p.Folder, p.Denoiser, opt); err != nil {
		return err
	}
	slots, need := p.denoiserSlots()
	for _, port := range p.denoiser.Inputs() {
		slot, ok := slots[port.Name]
		if !ok {
			return fmt.Errorf("%s: input %q is not one that the denoiser of a %s takes (%s)", p.denoiser.Path(), port.Name, p.ClassName,
				strings.Join(slices.Sorted(maps.Keys(slots)), ", "))
		}
		*slot = &port
	}
	for _, name := range need {
		if *slots[name] == nil {
			return fmt.Errorf("%s: input %q is missing", p.denoiser.Path(), name)
		}
	}
	if !p.XL && !p.SD3 && (p.ports.pooled != nil || p.ports.timeIDs != nil) {
		return fmt.Errorf("%s: takes text_embeds or time_ids as XL models do, but model_index.json names %s", p.denoiser.Path(), p.ClassName)
	}
	outs := p.denoiser.Outputs()
	if len(outs) == 0 {
		return fmt.Errorf("%s: no output", p.denoiser.Path())
	}
	p.ports.out = outs[0].Name
	return nil
}

// denoiserSlots are the places of the inputs that the denoiser may have, by their names, and the names of those that it must have.
func (p *Pipeline) denoiserSlots() (slots map[string]**model.Port, need []string) {
	if p.SD3 {
		return map[string]**model.Port{
			"hidden_states": &p.ports.sample, "timestep": &p.ports.timestep, HiddenStates: &p.ports.hidden, "pooled_projections": &p.ports.pooled,
		}, []string{"hidden_states", "timestep", HiddenStates, "pooled_projections"}
	}
	slots = map[string]**model.Port{
		"sample": &p.ports.sample, "timestep": &p.ports.timestep, HiddenStates: &p.ports.hidden,
		TextEmbeds: &p.ports.pooled, "time_ids": &p.ports.timeIDs, "timestep_cond": &p.ports.condProj,
	}
	need = []string{"sample", "timestep", HiddenStates}
	if p.XL {
		need = append(need, TextEmbeds, "time_ids")
	}
	return slots, need
}

// Denoise writes the network's raw prediction for x into dst, both [n, channels, height, width]. All samples share one
// timestep. Exports with an integer timestep see it truncated, as in diffusers' own ONNX pipelines.
func (p *Pipeline) Denoise(ctx context.Context, dst, x []float32, n, height, width int, t float64, c Cond) error {
	return p.DenoiseRows(ctx, dst, x, n, height, width, []float64{t}, c)
}

// DenoiseRows is Denoise with a timestep for every sample, or one for all.
func (p *Pipeline) DenoiseRows(ctx context.Context, dst, x []float32, n, height, width int, ts []float64, c Cond) error {
	p.evaluations.Add(int64(n))
	in, err := p.denoiserInputs(x, n, height, width, ts, c)
	if err != nil {
		return err
	}
	net := p.denoiser
	if p.still(&c) {
		net = p.frozen
		p.dropTrainable(in)
	}
	out, err := net.Run(ctx, in)
	if err != nil {
		return err
	}
	return p.takePrediction(dst, out[p.ports.out], n, height, width)
}

// denoiserInputs names the inputs.
func (p *Pipeline) denoiserInputs(x []float32, n, height, width int, ts []float64, c Cond) (map[string]tensor.Tensor, error) {
	t, err := timesteps(*p.ports.timestep, n, ts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.denoiser.Path(), err)
	}
	p.warnFraction(ts[0])
	in := map[string]tensor.Tensor{
		p.ports.sample.Name:   p.ports.sample.Floats(x, n, p.LatentChannels, height, width),
		p.ports.timestep.Name: t,
		p.ports.hidden.Name:   p.ports.hidden.Floats(c.Hidden.F32(), c.Hidden.Shape...),
	}
	if p.ports.pooled != nil {
		in[p.ports.pooled.Name] = p.ports.pooled.Floats(c.Pooled.F32(), c.Pooled.Shape...)
	}
	if p.ports.timeIDs != nil {
		in[p.ports.timeIDs.Name] = p.ports.timeIDs.Floats(c.TimeIDs.F32(), c.TimeIDs.Shape...)
	}
	if cond := p.ports.condProj; cond != nil {
		// Guidance embedding of distilled models; zeros mean "not given", the shape comes from the graph.
		in[cond.Name] = tensor.New(cond.DType, n, cond.Shape[len(cond.Shape)-1])
	}
	p.addDenoiserInputs(in, n, &c)
	return in, nil
}

// takePrediction checks the output and copies it.
func (p *Pipeline) takePrediction(dst []float32, y tensor.Tensor, n, height, width int) error {
	if !slices.Equal(y.Shape, []int{n, p.LatentChannels, height, width}) {
		return fmt.Errorf("%s: output %v has another shape than the latents %v", p.denoiser.Path(), y.Shape,
			[]int{n, p.LatentChannels, height, width})
	}
	copy(dst, y.Float32s())
	return nil
}

// warnFraction says, once, that an export with an integer timestep cannot see what the scheduler asks for.
func (p *Pipeline) warnFraction(t float64) {
	if t == math.Trunc(t) || p.ports.timestep.DType.IsFloat() {
		return
	}
	p.fraction.Do(func() {
		p.log.Warn("the scheduler asks for fractional timesteps, which this export cuts off; export the denoiser with a float timestep input",
			"timestep", t, "file", p.denoiser.Path())
	})
}

// OneTimestep reports whether the export takes a single timestep for all samples of a call.
func (p *Pipeline) OneTimestep() bool {
	shape := p.ports.timestep.Shape
	return len(shape) == 0 || len(shape) == 1 && shape[0] == 1
}

// timesteps builds the timestep input from one value, or one per sample: a scalar or a vector, in the type that the export asks for.
func timesteps(port model.Port, n int, ts []float64) (tensor.Tensor, error) {
	if len(ts) != 1 && len(ts) != n {
		return tensor.Tensor{}, fmt.Errorf("%d timesteps for %d samples", len(ts), n)
	}
	shape := slices.Clone(port.Shape)
	if len(shape) == 1 && shape[0] != 1 {
		shape[0] = n
		if len(ts) == 1 {
			ts = slices.Repeat(ts, n)
		}
	} else if slices.ContainsFunc(ts, func(t float64) bool { return t != ts[0] }) {
		return tensor.Tensor{}, fmt.Errorf("input %q takes one timestep for all samples, not one for each", port.Name)
	} else {
		ts = ts[:1]
	}
	floats, whole := make([]float32, len(ts)), make([]int64, len(ts))
	for i, t := range ts {
		floats[i], whole[i] = float32(t), int64(math.Trunc(t))
	}
	if port.DType.IsFloat() {
		return port.Floats(floats, shape...), nil
	}
	return port.Integers(whole, shape...), nil
}
