package rewards

import (
	"context"
	"fmt"
)

// PixelGradient is Model.PixelGradient of the sum. Rewards that run elsewhere, and shares of a reference (cdf), have no derivative:
// an *ArgumentError.
func (m *Mix) PixelGradient(ctx context.Context, prompt string, pixels []float32, w, h int) (score float64, gradient []float32, err error) {
	if err := m.CheckGradient(); err != nil {
		return 0, nil, err
	}
	gradient = make([]float32, len(pixels))
	for _, part := range m.members {
		s, slope, err := part.reward.(*Model).PixelGradient(ctx, prompt, pixels, w, h)
		if err != nil {
			return 0, nil, err
		}
		// The transforms left are straight lines.
		at, err := part.reference.Apply(part.transform, s)
		if err != nil {
			return 0, nil, err
		}
		beyond, err := part.reference.Apply(part.transform, s+1)
		if err != nil {
			return 0, nil, err
		}
		score += part.weight * at
		factor := float32(part.weight * (beyond - at))
		for i, v := range slope {
			gradient[i] += factor * v
		}
	}
	return score, gradient, nil
}

// CheckGradient reports whether PixelGradient can work.
func (m *Mix) CheckGradient() error {
	for _, part := range m.members {
		info := part.reward.Info()
		if _, local := part.reward.(*Model); !local {
			return &ArgumentError{fmt.Sprintf("the reward %q runs elsewhere, and its derivative cannot be had", info.Name)}
		}
		if part.transform == TransformCDF {
			return &ArgumentError{fmt.Sprintf("%s(%s) is a share and has no useful derivative; take z or minmax", part.transform, info.Name)}
		}
	}
	return nil
}
