package dpo

// LossSPPO is (a−½)² + (b+½)², self-play preference optimisation: Wu et al., 2024 (arXiv 2405.00675), with hard labels; TRL's
// sppo_hard. As with [LossIPO], the original is this divided by β².
func LossSPPO() PairLoss { return squares(func(Terms) float64 { return 0.5 }) }

// LossSPPOSoft is (a−(p−½))² + (b+(p−½))² with the label p of the pair: the equation of the paper with an estimated
// probability that the chosen picture wins. Preferences need not be transitive: rewards come to rest at log odds of a
// Nash equilibrium's update, not at scores. A label of ½ pulls both pictures to the reference.
func LossSPPOSoft() PairLoss { return squares(func(t Terms) float64 { return t.Label - 0.5 }) }

// squares pulls the chosen reward to a target and the rejected one to its opposite.
func squares(target func(Terms) float64) PairLoss {
	return func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		up, down := a-target(t), b+target(t)
		return up*up + down*down, 2 * up, 2 * down
	}
}

func infoSPPO() LossInfo {
	return LossInfo{
		Name: "sppo", Formula: "(a−½)² + (b+½)²", Paper: "Wu et al., 2024, arXiv 2405.00675",
		make: plain(LossSPPO()),
	}
}

func infoSPPOSoft() LossInfo {
	return LossInfo{
		Name: "sppo-soft", Formula: "(a−(p−½))² + (b+(p−½))²", Paper: "Wu et al., 2024, arXiv 2405.00675, with estimated probabilities",
		SoftLabels: true, make: plain(LossSPPOSoft()),
	}
}
