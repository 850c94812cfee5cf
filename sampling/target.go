package sampling

import "math"

// AddNoise writes clean latents at timestep t into dst: √ᾱ·clean + √(1−ᾱ)·noise, or (1−σ)·clean + σ·noise on a straight path, in float32
// as diffusers' add_noise and scale_noise. The three slices have equal length; dst may be clean or noise.
func (s *NoiseSchedule) AddNoise(dst, clean, noise []float32, t int) {
	a, b := sqrt32(s.alphaBar[t]), sqrt32(1-s.alphaBar[t])
	if s.flow != nil {
		a, b = 1-s.flow[t], s.flow[t]
	}
	for i, z := range noise {
		dst[i] = float32(a*clean[i]) + float32(b*z)
	}
}

// Target writes what a network should predict for clean latents that noise was added to, at a level with the given ᾱ, into dst: noise −
// clean for a flow, whatever the level. The
// slices have equal length; dst may be clean or noise.
func (p Prediction) Target(dst, clean, noise []float32, alphaBar float64) error {
	switch p {
	case Epsilon:
		copy(dst, noise)
	case CleanSample:
		copy(dst, clean)
	case VPrediction:
		// diffusers' get_velocity
		a, s := float32(math.Sqrt(alphaBar)), sqrt32(1-float32(alphaBar))
		for i, z := range noise {
			dst[i] = float32(a*z) - float32(s*clean[i])
		}
	case FlowPrediction:
		for i, z := range noise {
			dst[i] = z - clean[i]
		}
	default:
		return p.unknown()
	}
	return nil
}
