package ldm

import (
	"context"
	"errors"
	"fmt"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

// loadFeatures makes the network of [Pipeline.Features] where that is wanted: the denoiser up to its middle, as it is
// in the file, ahead of any adapter.
func (p *Pipeline) loadFeatures(*model.Options) error {
	if !p.seeing {
		return nil
	}
	if p.SD3 {
		return fmt.Errorf("%s: features are those of the middle of a U-Net, and this is a transformer: take a method that measures latents, such as flow-dpo", p.denoiser.Path())
	}
	part, out, err := lora.MidBlock(p.denoiser.File().Graph)
	switch {
	case errors.Is(err, lora.ErrNoMidBlock):
		return fmt.Errorf("%s: has no mid block, as some distilled U-Nets: there are no features to measure by; take a model with one, or a method that measures latents, such as dpo", p.denoiser.Path())
	case err != nil:
		return fmt.Errorf("%s: %w; features are measured there: export the U-Net by diffusers' own modules and without optimisation (assets/export/export_onnx.py does)", p.denoiser.Path(), err)
	}
	p.features, p.feature = p.denoiser.Variant(part), out
	return nil
}

// Features is what the mid block of the frozen denoiser says to latents [n, channels, height, width] at a timestep
// for every sample, or one for all: n rows of equal size, one after another. It wants [Options.Features]. Adapters
// and scales have no part in it.
func (p *Pipeline) Features(ctx context.Context, x []float32, n, height, width int, ts []float64, c Cond) ([]float32, error) {
	in, err := p.featureInputs(x, n, height, width, ts, c)
	if err != nil {
		return nil, err
	}
	p.looks.Add(int64(n))
	out, err := p.features.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	return out[p.feature].Float32s(), nil
}

// FeaturesGradient is Features, and then the way back: cot is asked for the derivative of a number with respect to
// the features, and the result is that with respect to x. checkpoint computes values between blocks again instead of
// keeping them.
func (p *Pipeline) FeaturesGradient(ctx context.Context, x []float32, n, height, width int, ts []float64, c Cond, checkpoint bool,
	cot func(features []float32) ([]float32, error),
) ([]float32, error) {
	in, err := p.featureInputs(x, n, height, width, ts, c)
	if err != nil {
		return nil, err
	}
	p.looks.Add(int64(3 * n))
	sample := p.ports.sample.Name
	spec := graph.GradientSpec{Outputs: []string{p.feature}, Wrt: []string{sample}, Checkpoint: checkpoint}
	back, err := p.features.VJP(ctx, in, spec, func(res map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
		y := res[p.feature]
		slope, err := cot(y.Float32s())
		if err != nil {
			return nil, err
		}
		return cotangent(p.feature, y, slope)
	})
	if err != nil {
		return nil, err
	}
	return back[sample].Float32s(), nil
}

func (p *Pipeline) featureInputs(x []float32, n, height, width int, ts []float64, c Cond) (map[string]tensor.Tensor, error) {
	if p.features == nil {
		return nil, errors.New("ldm: features were not asked for when the model was opened")
	}
	in, err := p.denoiserInputs(x, n, height, width, ts, c)
	if err != nil {
		return nil, err
	}
	for name := range in {
		if _, ok := p.features.Input(name); !ok {
			delete(in, name) // of adapters
		}
	}
	return in, nil
}
