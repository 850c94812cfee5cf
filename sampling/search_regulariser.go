package sampling

import "math"

// NoiseRegulariser says how unlikely the length of an initial noise of d numbers is: ½‖ε‖² − (d−1)·log‖ε‖, the negative logarithm
// of the density of ‖ε‖ under a standard normal law, up to a constant. It is least at ‖ε‖ = √(d−1). dst receives the gradient
// (1 − (d−1)/‖ε‖²)·ε; it may be noise itself, or nil where only the value is wanted. At ε = 0 the gradient has no direction and is
// given as 0. It panics when dst and noise differ in length.
// (Eyring et al. 2024, ReNO, arXiv 2406.04312; there it is minimised with the weight 0.01.)
func NoiseRegulariser(dst, noise []float32) float64 {
	if dst != nil && len(dst) != len(noise) {
		panic("sampling: NoiseRegulariser with a gradient of another length than the noise")
	}
	d := float64(len(noise) - 1)
	square := squared(noise)
	if d <= 0 || square == 0 {
		factor := 0.0
		value := math.Inf(1)
		if d <= 0 { // a single number: the logarithm has no weight
			factor, value = 1, square/2
		}
		scaleTo(dst, noise, factor)
		return value
	}
	scaleTo(dst, noise, 1-d/square)
	return square/2 - d/2*math.Log(square)
}

// squared is ‖x‖². Float64 sums keep it exact to about 1e-15 for the lengths of latents.
func squared(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

// scaleTo writes factor·x to dst unless that is nil.
func scaleTo(dst, x []float32, factor float64) {
	if dst == nil {
		return
	}
	for i, v := range x {
		dst[i] = float32(factor * float64(v))
	}
}
