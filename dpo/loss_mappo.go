package dpo

// LossMaPPO is −log σ(a − ρ·b) with ρ = σ(η·gap), a prior from scores that takes weight off the rejected picture of near
// ties: Lan et al., "MaPPO: Maximum a Posteriori Preference Optimization with Prior Knowledge", 2025 (arXiv 2507.21183).
// The paper's rewards lie within 0 and 1 and ρ is their gap; σ(η·gap) serves scores of any unit. A large gap gives the
// sigmoid loss. It is neither [MaPO] nor MPO.
func LossMaPPO(eta float64) PairLoss {
	return func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		prior := sigmoid(eta * gap(t))
		z := a - prior*b
		return softplus(-z), -sigmoid(-z), prior * sigmoid(-z)
	}
}

func infoMaPPO() LossInfo {
	return LossInfo{
		Name: "mappo", Formula: "−log σ(a − ρ·b), ρ = σ(η·gap)", Paper: "Lan et al., 2025, arXiv 2507.21183",
		Scores:  true,
		Options: []LossOption{{Name: "eta", What: "steepness η in the gap of scores", Default: 1, Low: 0, High: 1e6}},
		make:    func(s lossSettings) Loss { return LossMaPPO(s.option["eta"]) },
	}
}
