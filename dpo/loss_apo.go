package dpo

// LossAPOZero is (1−σ(a)) + σ(b), anchored preference optimisation: D'Oosterlinck et al., 2024 (arXiv 2408.06266). It
// raises the chosen reward and lowers the rejected one, each by itself. It is not "accelerated preference optimisation",
// which has the same letters.
func LossAPOZero() PairLoss {
	return func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		return sigmoid(-a) + sigmoid(b), -sigmoid(a) * sigmoid(-a), sigmoid(b) * sigmoid(-b)
	}
}

// LossAPODown is σ(a) + 1 − σ(z), of the same paper, for chosen pictures that are worse than what the model makes: it lowers
// both rewards, the rejected one further.
func LossAPODown() PairLoss {
	return func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		z := a - b
		margin := sigmoid(z) * sigmoid(-z)
		return sigmoid(a) + sigmoid(-z), sigmoid(a)*sigmoid(-a) - margin, margin
	}
}

func infoAPOZero() LossInfo {
	return LossInfo{
		Name: "apo-zero", Formula: "1 − σ(a) + σ(b)", Paper: "D'Oosterlinck et al., 2024, arXiv 2408.06266",
		make: plain(LossAPOZero()),
	}
}

func infoAPODown() LossInfo {
	return LossInfo{
		Name: "apo-down", Formula: "σ(a) + 1 − σ(z)", Paper: "D'Oosterlinck et al., 2024, arXiv 2408.06266",
		make: plain(LossAPODown()),
	}
}
