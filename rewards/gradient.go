package rewards

import (
	"context"
	"fmt"
	"math"

	"winnow/internal/graph"
	"winnow/internal/imageproc"
	"winnow/internal/model"
	"winnow/internal/tensor"
)

// Gradient is the score of one prepared picture and its derivative with respect to every value of it. pixels are
// 3×Info.Height×Info.Width values as the network takes them, normalised.
func (m *Model) Gradient(ctx context.Context, prompt string, pixels []float32) (score float64, gradient []float32, err error) {
	if want := 3 * m.info.Width * m.info.Height; len(pixels) != want {
		return 0, nil, &ArgumentError{fmt.Sprintf("a prepared picture of %d values; reward %q takes %d", len(pixels), m.info.Name, want)}
	}
	if err := m.CheckPrompt(prompt); err != nil {
		return 0, nil, err
	}
	in := map[string]tensor.Tensor{}
	if m.nets.joint != nil {
		ids, mask, _ := m.encode(prompt)
		textInputs(in, m.nets.joint, ids, mask, 1)
		m.pixelInput(in, m.nets.joint, pixels, 1)
		return pixelGradient(ctx, m.nets.joint, in, m.nets.out, func(f []float32) (float64, []float32, error) {
			return float64(f[0]), []float32{1}, nil
		})
	}
	var text []float32
	if m.nets.text != nil {
		if text, err = m.textFeature(ctx, prompt); err != nil {
			return 0, nil, err
		}
	}
	m.pixelInput(in, m.nets.vision, pixels, 1)
	return pixelGradient(ctx, m.nets.vision, in, m.nets.visionOut, func(f []float32) (float64, []float32, error) {
		return m.featureGradient(text, f)
	})
}

// PixelGradient is the score of a picture that is given in floating point, as a VAE decoder makes it, and its derivative with
// respect to every value: pixels are 3×h×w values around −1 to 1, channel after channel. The picture is prepared without
// rounding to bytes, so the score differs from Score's for the same picture in bytes by about 1e-4 of its range. Values beyond −1
// and 1 are cut off, and have no derivative.
func (m *Model) PixelGradient(ctx context.Context, prompt string, pixels []float32, w, h int) (score float64, gradient []float32, err error) {
	proc, ok := m.proc.(imageproc.Differentiable)
	if !ok {
		return 0, nil, &ArgumentError{fmt.Sprintf("the preparation of reward %q has no derivative", m.info.Name)}
	}
	floating, err := proc.Floating(w, h)
	if err != nil {
		return 0, nil, fmt.Errorf("rewards: %w", err)
	}
	prepared := make([]float32, 3*m.info.Width*m.info.Height)
	if err := floating.Prepare(prepared, pixels); err != nil {
		return 0, nil, fmt.Errorf("rewards: %w", err)
	}
	score, slope, err := m.Gradient(ctx, prompt, prepared)
	if err != nil {
		return 0, nil, err
	}
	gradient = make([]float32, len(pixels))
	return score, gradient, floating.Adjoint(gradient, slope, pixels)
}

// pixelGradient runs a network forth and back; end gives the score and its derivative with respect to the output.
func pixelGradient(ctx context.Context, net *model.Model, in map[string]tensor.Tensor, out string, end func([]float32) (float64, []float32, error)) (score float64, gradient []float32, err error) {
	spec := graph.GradientSpec{Outputs: []string{out}, Wrt: []string{"pixel_values"}}
	back, err := net.VJP(ctx, in, spec, func(res map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
		var slope []float32
		var err error
		if score, slope, err = end(res[out].Float32s()); err != nil {
			return nil, err
		}
		cotangent := tensor.New(res[out].DType, res[out].Shape...)
		tensor.NarrowInto(cotangent, 0, slope)
		return map[string]tensor.Tensor{out: cotangent}, nil
	})
	if err != nil {
		return 0, nil, err
	}
	return score, back["pixel_values"].Float32s(), nil
}

// featureGradient is the score of an image feature and its derivative: of the cosine with text, or of the head.
func (m *Model) featureGradient(text, feature []float32) (float64, []float32, error) {
	direction, width := make([]float64, len(feature)), len(text)
	if text == nil {
		width = len(m.config.Head.Weight)
	}
	if width != len(feature) {
		return 0, nil, m.widthError(len(feature), width, "other side")
	}
	var dot, square, textSquare float64
	for i, f := range feature {
		if text == nil {
			direction[i] = m.config.Head.Weight[i]
		} else {
			direction[i] = float64(text[i])
		}
		dot += direction[i] * float64(f)
		square += float64(f) * float64(f)
		textSquare += direction[i] * direction[i]
	}
	norm := math.Sqrt(square)
	score, slope := dot/norm, 1.0
	if text == nil {
		score += m.config.Head.Bias
	} else {
		score, slope = m.spec.ofCosine(dot/norm/math.Sqrt(textSquare), m.config)
		slope /= math.Sqrt(textSquare)
	}
	out := make([]float32, len(feature))
	for i, f := range feature {
		out[i] = float32(slope * (direction[i] - dot*float64(f)/square) / norm)
	}
	return score, out, finite([]float64{score})
}
