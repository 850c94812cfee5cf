package sampling

import (
	"fmt"
	"math"
)

// Renoise brings latents from the noise level before step from to the higher one before step to by fresh standard normal noise: what
// was signal·x₀ + noise·ε is so again, at the level of to. With a and b the signal and noise of [Plan.Level],
//
//	x′ = (a′/a)·x + √(b′² − (a′/a)²·b²)·ε
//
// which is √(ᾱ′/ᾱ)·x + √(1−ᾱ′/ᾱ)·ε where the variance is preserved, and x + √(σ′²−σ²)·ε for the Euler family. from may be Len. The
// three slices have equal length; dst may be x or noise.
func (p *Plan) Renoise(dst, x, noise []float32, from, to int) error {
	if from < 0 || from > p.Len() || to < 0 || to > p.Len() {
		return fmt.Errorf("sampling: no noise level before step %d or %d in a plan of %d steps", from, to, p.Len())
	}
	a, b := p.Level(from)
	a2, b2 := p.Level(to)
	ratio := a2 / a
	if a == 0 && a2 == 0 {
		ratio = 1
	}
	variance := b2*b2 - ratio*ratio*b*b
	if !(variance >= 0) {
		return fmt.Errorf("sampling: the noise level before step %d is below that before step %d; noise can only be added", to+1, from+1)
	}
	c := math.Sqrt(variance)
	for i, v := range x {
		dst[i] = float32(ratio*float64(v) + c*float64(noise[i]))
	}
	return nil
}
