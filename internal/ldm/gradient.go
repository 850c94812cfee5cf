package ldm

import (
	"context"
	"fmt"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// checkpointFrom is the number of latent positions from which networks keep only the values between their blocks for the way back,
// and compute the rest again: a 256×256 picture of a U-Net of Stable Diffusion's size would take gigabytes otherwise.
const checkpointFrom = 32 * 32

// PixelGradient scores one picture, 3×height×width values as Decode gives them, and gives the derivative of the score with respect
// to each of them. A score of NaN is that of a picture that cannot be scored.
type PixelGradient func(ctx context.Context, pixels []float32, width, height int) (score float64, gradient []float32, err error)

// DecodeGradient decodes latents [n, channels, height, width] one picture at a time, scores the pictures, and carries the derivatives
// of the scores back through the decoder.
func (p *Pipeline) DecodeGradient(ctx context.Context, latents []float32, n, height, width int, r PixelGradient) (scores []float64, gradient []float32, err error) {
	size := p.LatentChannels * height * width
	if len(latents) != n*size {
		return nil, nil, fmt.Errorf("ldm: %d latents for %d×[%d %d %d]", len(latents), n, p.LatentChannels, height, width)
	}
	for i := range n {
		score, slope, err := p.decodeGradient(ctx, latents[i*size:(i+1)*size], height, width, r)
		if err != nil {
			return nil, nil, err
		}
		scores, gradient = append(scores, score), append(gradient, slope...)
	}
	return scores, gradient, nil
}

func (p *Pipeline) decodeGradient(ctx context.Context, latents []float32, height, width int, r PixelGradient) (score float64, gradient []float32, err error) {
	port, out := p.decoder.Inputs()[0], p.decoder.Outputs()[0].Name
	z, channel := make([]float32, len(latents)), func(i int) affine { return p.toDecoder[i/(height*width)] }
	for i, v := range latents {
		z[i] = float32(float64(v)*channel(i).scale + channel(i).shift)
	}
	in := map[string]tensor.Tensor{port.Name: port.Floats(z, 1, p.LatentChannels, height, width)}
	back, err := p.decoder.VJP(ctx, in, way(port.Name, out, height, width), func(res map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
		img := res[out]
		if want := []int{1, 3, height * p.Factor, width * p.Factor}; !slices.Equal(img.Shape, want) {
			return nil, fmt.Errorf("%s: output has shape %v, want %v", p.decoder.Path(), img.Shape, want)
		}
		var slope []float32
		if score, slope, err = r(ctx, img.Float32s(), img.Shape[3], img.Shape[2]); err != nil {
			return nil, err
		}
		return cotangent(out, img, slope)
	})
	if err != nil {
		return 0, nil, err
	}
	gradient = back[port.Name].Float32s()
	for i := range gradient {
		gradient[i] = float32(float64(gradient[i]) * channel(i).scale)
	}
	return score, gradient, nil
}

// way asks for the derivative from one output to one input.
func way(in, out string, height, width int) graph.GradientSpec {
	return graph.GradientSpec{Outputs: []string{out}, Wrt: []string{in}, Checkpoint: height*width >= checkpointFrom}
}

// cotangent is slope in the type and shape of the output that it belongs to.
func cotangent(name string, like tensor.Tensor, slope []float32) (map[string]tensor.Tensor, error) {
	if len(slope) != like.Elems() {
		return nil, fmt.Errorf("ldm: %d derivatives for an output of %d numbers", len(slope), like.Elems())
	}
	t := tensor.New(like.DType, like.Shape...)
	tensor.NarrowInto(t, 0, slope)
	return map[string]tensor.Tensor{name: t}, nil
}

// DenoiseGradient is Denoise, and then the way back: cot is asked for the derivative of a number with respect to the prediction that
// is in dst, and the result is that with respect to x.
func (p *Pipeline) DenoiseGradient(ctx context.Context, dst, x []float32, n, height, width int, t float64, c Cond, cot func() ([]float32, error)) ([]float32, error) {
	in, err := p.denoiserInputs(x, n, height, width, []float64{t}, c)
	if err != nil {
		return nil, err
	}
	sample := p.ports.sample.Name
	back, err := p.denoiserBack(ctx, in, way(sample, p.ports.out, height, width), dst, n, height, width, cot)
	if err != nil {
		return nil, err
	}
	return back[sample].Float32s(), nil
}

// denoiserBack runs the denoiser into dst, asks for the derivative with respect to that, and carries it back to the inputs of spec.
func (p *Pipeline) denoiserBack(ctx context.Context, in map[string]tensor.Tensor, spec graph.GradientSpec, dst []float32, n, height, width int,
	cot func() ([]float32, error),
) (map[string]tensor.Tensor, error) {
	p.evaluations.Add(int64(3 * n)) // the way back does two products for each one of the way forth
	return p.denoiser.VJP(ctx, in, spec, func(res map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
		y := res[p.ports.out]
		if err := p.takePrediction(dst, y, n, height, width); err != nil {
			return nil, err
		}
		slope, err := cot()
		if err != nil {
			return nil, err
		}
		return cotangent(p.ports.out, y, slope)
	})
}

// Guidance is a denoiser under guidance whose prediction is a weighted sum of up to three, the same prompt for every picture.
type Guidance struct {
	Positive, Negative Embeds  // one row each; without guidance Negative is the zero value
	ByPositive         float64 // factor of the prediction for Positive: the scale s, or s+1 for CHATS; 1 without guidance
	ByNegative         float64 // 1−s, or −s for CHATS; 0 without guidance
	ByPerturbed        float64 // factor of the prediction for Positive with perturbed attention, see Cond.Perturbed; 0: it is not made
	Rescale            float64 // see sampling.Rescale
	Height, Width      int     // of the latents
}

// Pullback is the denoiser under guidance with the way back through it, for any number of pictures.
func (p *Pipeline) Pullback(g Guidance) sampling.Pullback {
	size := p.LatentChannels * g.Height * g.Width
	negative := g.Negative.Hidden.DType != tensor.Invalid
	return func(ctx context.Context, output, x []float32, t float64, cot func() ([]float32, error)) ([]float32, error) {
		n := len(x) / size
		if n < 1 || len(x) != n*size || len(output) != len(x) {
			return nil, fmt.Errorf("ldm: %d latents for pictures of %d", len(x), size)
		}
		emb := g.Positive.Pick(make([]int, n))
		pixels := func(e Embeds) Cond { return e.Cond(g.Height*p.Factor, g.Width*p.Factor) }
		if !negative && g.ByPerturbed == 0 {
			return p.DenoiseGradient(ctx, output, x, n, g.Height, g.Width, t, pixels(emb), cot)
		}
		all, factors, first := emb, []float64{g.ByPositive}, 0
		var err error
		if g.ByPerturbed != 0 {
			factors = append(factors, g.ByPerturbed)
			if all, err = emb.Stack(emb); err != nil {
				return nil, err
			}
		}
		if negative {
			first, factors = 1, append([]float64{g.ByNegative}, factors...)
			if all, err = g.Negative.Pick(make([]int, n)).Stack(all); err != nil {
				return nil, err
			}
		}
		cond := pixels(all)
		cond.Negative = first * n
		if g.ByPerturbed != 0 {
			cond.Perturbed = n
		}
		return p.guidedGradient(ctx, g, output, x, n, t, cond, factors, first, cot)
	}
}

// guidedGradient runs all parts as one batch, adds up their predictions by factors, and adds up what comes back from them. The part
// for the prompt, which rescaling goes by, is number positive.
func (p *Pipeline) guidedGradient(ctx context.Context, g Guidance, output, x []float32, n int, t float64, all Cond, factors []float64, positive int, cot func() ([]float32, error)) ([]float32, error) {
	size, parts := len(x), len(factors)
	out, in := make([]float32, parts*size), slices.Repeat(x, parts)
	back, err := p.DenoiseGradient(ctx, out, in, parts*n, g.Height, g.Width, t, all, func() ([]float32, error) {
		for i := range output {
			sum := 0.0
			for k, factor := range factors {
				sum += factor * float64(out[k*size+i])
			}
			output[i] = float32(sum)
		}
		guided, cond := slices.Clone(output), out[positive*size:(positive+1)*size]
		sampling.Rescale(output, cond, n, g.Rescale)
		slope, err := cot()
		if err != nil {
			return nil, err
		}
		if len(slope) != size {
			return nil, fmt.Errorf("ldm: %d derivatives for a prediction of %d numbers", len(slope), size)
		}
		toGuided, toPositive := sampling.RescaleGradient(slope, guided, cond, n, g.Rescale)
		slopes := make([]float32, parts*size)
		for i, v := range toGuided {
			for k, factor := range factors {
				d := factor * v
				if k == positive {
					d += toPositive[i]
				}
				slopes[k*size+i] = float32(d)
			}
		}
		return slopes, nil
	})
	if err != nil {
		return nil, err
	}
	for k := 1; k < parts; k++ {
		for i, v := range back[k*size : (k+1)*size] {
			back[i] += v
		}
	}
	return back[:size], nil
}
