package dpo

// StepError is minus the log-density of a step of a stochastic sampler: of x under a normal distribution with the given
// mean and standard deviation sigma, averaged over elements, without the constant log(sigma·√2π), which policy and
// reference share. sigma is above 0; a sampler's last step often draws nothing and cannot be measured.
func StepError(x, mean []float32, sigma float64) float64 {
	return DenoisingError(x, mean) / (2 * sigma * sigma)
}

// StepCotangent writes the derivative of a loss with respect to the mean of the step into dst:
// slope·(mean − x)/(sigma²·N), where slope is the derivative with respect to the [StepError]: a field of [Grad]. dst may
// be x or mean. A sampler's mean is linear in the network's output, so the output's cotangent is this times the coefficient.
//
// It serves a picture with an input of its own: chosen and rejected pictures that left different states are two rows.
func StepCotangent(dst, x, mean []float32, sigma, slope float64) {
	DenoisingCotangent(dst, mean, x, slope/(2*sigma*sigma))
}

// SiblingTerms are the errors of two samples of one step. Both have the same input, hence the same mean and sigma, and
// the margin is linear in the policy's mean: (chosen − rejected)·(policy − reference)/(sigma²·N). So the loss moves the
// mean along chosen − rejected whatever the noise was. Label is 1.
func SiblingTerms(chosen, rejected, policy, reference []float32, sigma float64) Terms {
	return Terms{
		PolicyChosen: StepError(chosen, policy, sigma), PolicyRejected: StepError(rejected, policy, sigma),
		RefChosen: StepError(chosen, reference, sigma), RefRejected: StepError(rejected, reference, sigma),
		Label: 1,
	}
}

// SiblingCotangent writes the derivative of a loss with respect to the policy's mean, which both siblings share, into
// dst: the sum of their [StepCotangent]s. dst may be any of the slices.
func SiblingCotangent(dst, chosen, rejected, policy []float32, sigma float64, g Grad) {
	scale := 1 / (sigma * sigma * float64(len(policy)))
	for i, m := range policy {
		// In this order a loss of the margin, whose two derivatives are opposite, is free of the mean.
		pull := g.Chosen*float64(chosen[i]) + g.Rejected*float64(rejected[i])
		dst[i] = float32(scale * ((g.Chosen+g.Rejected)*float64(m) - pull))
	}
}
