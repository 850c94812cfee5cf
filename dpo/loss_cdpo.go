package dpo

// LossCDPO is −(1−ε)·log σ(z) − ε·log σ(−z), conservative DPO: Mitchell, "A note on DPO with noisy preferences and
// relationship to IPO", 2023; TRL's sigmoid loss with label_smoothing. smoothing is ε, the probability that a label is
// swapped, from 0 to ½. Its minimum is at z = logit(1−ε), so margins do not grow without end.
func LossCDPO(smoothing float64) PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) {
		return (1-smoothing)*softplus(-z) + smoothing*softplus(z), smoothing - sigmoid(-z)
	})
}

func infoCDPO() LossInfo {
	return LossInfo{
		Name: "cdpo", Formula: "−(1−ε)·log σ(z) − ε·log σ(−z)", Paper: "Mitchell, A note on DPO with noisy preferences, 2023",
		Smoothing: true, DefaultSmoothing: defaultSmoothing, make: func(s lossSettings) Loss { return LossCDPO(s.smoothing) },
	}
}
