package dpo

// LossSoft is −p·log σ(z) − (1−p)·log σ(−z): the cross-entropy between the pair's label p and the policy's preference.
// It is [LossCDPO] with a smoothing for each pair, for labels from rewards, votes or judges. A label of ½ pulls the pair
// back to the reference, unlike [SmPO], where such a pair has no gradient.
func LossSoft() PairLoss {
	return ofMargin(func(z, label float64) (value, slope float64) {
		return label*softplus(-z) + (1-label)*softplus(z), sigmoid(z) - label
	})
}

func infoSoft() LossInfo {
	return LossInfo{
		Name: "soft", Formula: "−p·log σ(z) − (1−p)·log σ(−z)", Paper: "cross-entropy with the label of each pair",
		SoftLabels: true, make: plain(LossSoft()),
	}
}
