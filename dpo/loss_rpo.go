package dpo

// Reward-aware preference optimisation brings the implicit margin to the explicit one, η times the gap of scores:
// Nemotron-4 340B Technical Report, 2024 (arXiv 2406.11704), and Sun et al., 2025 (arXiv 2502.00203). Three other methods
// have the letters RPO: relative and reverse preference optimisation, and DPO with a supervised term ([WithSFT]).

// LossRewardRPO is the divergence of σ(z) from σ(η·gap): soft labels from scores, less their entropy, so that 0 is the least.
func LossRewardRPO(eta float64) PairLoss {
	return func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		z, want := a-b, eta*gap(t)
		p := sigmoid(want)
		slope := sigmoid(z) - p
		return p*(softplus(-z)-softplus(-want)) + sigmoid(-want)*(softplus(z)-softplus(want)), slope, -slope
	}
}

// LossRewardRPOSquared is (z − η·gap)².
func LossRewardRPOSquared(eta float64) PairLoss {
	return func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		d := a - b - eta*gap(t)
		return d * d, 2 * d, -2 * d
	}
}

func infoRewardRPO() LossInfo {
	return LossInfo{
		Name: "rpo-reward", Formula: "divergence of σ(z) from σ(η·gap)", Paper: paperRPO,
		Scores: true, Options: optionEta(), make: func(s lossSettings) Loss { return LossRewardRPO(s.option["eta"]) },
	}
}

func infoRewardRPOSquared() LossInfo {
	return LossInfo{
		Name: "rpo-reward-squared", Formula: "(z − η·gap)²", Paper: paperRPO,
		Scores: true, Options: optionEta(), make: func(s lossSettings) Loss { return LossRewardRPOSquared(s.option["eta"]) },
	}
}

const paperRPO = "Nemotron-4 340B Technical Report, 2024, arXiv 2406.11704"

func optionEta() []LossOption {
	return []LossOption{{Name: "eta", What: "margin η for each unit of the gap of scores", Default: 1, Low: 0, High: 1e6}}
}
