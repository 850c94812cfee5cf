package dpo

// LossRobust is (−(1−ε)·log σ(z) + ε·log σ(−z))/(1−2ε), robust DPO: Chowdhury et al., ICML 2024 (arXiv 2403.00409).
// smoothing is ε, the probability that a label is swapped, below ½. Averaged over labels that are swapped so
// often it is −log σ(z) of the true ones. It falls below 0 for large margins.
func LossRobust(smoothing float64) PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) {
		value = (1-smoothing)*softplus(-z) - smoothing*softplus(z)
		slope = -(1-smoothing)*sigmoid(-z) - smoothing*sigmoid(z)
		return value / (1 - 2*smoothing), slope / (1 - 2*smoothing)
	})
}

func infoRobust() LossInfo {
	return LossInfo{
		Name: "robust", Formula: "(−(1−ε)·log σ(z) + ε·log σ(−z))/(1−2ε)", Paper: "Chowdhury et al., ICML 2024, arXiv 2403.00409",
		Smoothing: true, DefaultSmoothing: defaultSmoothing, make: func(s lossSettings) Loss { return LossRobust(s.smoothing) },
	}
}
