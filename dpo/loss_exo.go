package dpo

import "math"

// LossEXO is q·log(q/(1−ε)) + (1−q)·log((1−q)/ε) with q = σ(z): the divergence of the policy's preference from the label
// that smoothing leaves, Ji et al., "Towards Efficient Exact Optimization of Language Model Alignment", ICML 2024 (arXiv
// 2402.00856), equation 16; TRL's exo_pair. smoothing is ε, above 0 and below ½. It is [LossCDPO] with the two
// distributions swapped: 0 at z = logit(1−ε), and flat for pairs that are far out on either side.
func LossEXO(smoothing float64) PairLoss {
	target := math.Log((1 - smoothing) / smoothing)
	return ofMargin(func(z, _ float64) (value, slope float64) {
		q, rest := sigmoid(z), sigmoid(-z)
		value = q*(-softplus(-z)-math.Log(1-smoothing)) + rest*(-softplus(z)-math.Log(smoothing))
		return value, q * rest * (z - target)
	})
}

func infoEXO() LossInfo {
	return LossInfo{
		Name: "exo", Formula: "q·log(q/(1−ε)) + (1−q)·log((1−q)/ε), q = σ(z)", Paper: "Ji et al., ICML 2024, arXiv 2402.00856",
		Smoothing: true, DefaultSmoothing: defaultSmoothing, make: func(s lossSettings) Loss { return LossEXO(s.smoothing) },
	}
}
