package sampling

import "math"

// Posterior is the step of DDPM from one variance-preserving level to a less noisy one: x at the lower level is
// normal with the mean X·x + Output·output, where output is the network's, and the standard deviation Noise.
type Posterior struct{ X, Output, Noise float64 }

// Posterior is equation 7 of Ho et al. 2020 (arXiv 2006.11239) with the smaller of its two variances, from a level
// with the cumulative product from to one with the product to, which is not smaller. Where both are the same, nothing
// is left to do: x stays what it is. Predictions of noise have none from a level without signal: their numbers are
// infinite there.
func (p Prediction) Posterior(from, to float64) (Posterior, error) {
	clean, err := p.data(from)
	if err != nil {
		return Posterior{}, err
	}
	x, data, variance := posterior(from, to)
	return Posterior{x + data*clean.x, data * clean.out, math.Sqrt(variance)}, nil
}

// posterior gives the factors of x and of the clean sample in the mean, and the variance.
func posterior(from, to float64) (x, data, variance float64) {
	alpha := from / to
	beta := 1 - alpha
	return math.Sqrt(alpha) * (1 - to) / (1 - from), math.Sqrt(to) * beta / (1 - from), (1 - to) / (1 - from) * beta
}
