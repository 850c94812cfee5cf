package dpo

// LossDiscoPOP is (1−w)·(−log σ(z)) + w·e^(−z) with w = σ(z/τ), a loss that a language model found: Lu et al., NeurIPS
// 2024 (arXiv 2406.08414), equation 5; TRL's discopop. tau is 0.05 in the paper.
//
// Between its two parts it rises: at z = 0, where training starts, the slope is +0.78 at τ = 0.05. Margins of a whole
// batch first move the wrong way, to a local minimum near −0.12. Exponents beyond 50 go on along the tangent.
func LossDiscoPOP(tau float64) PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) {
		w, rest := sigmoid(z/tau), sigmoid(-z/tau)
		e, dE := boundedExpm1(-z)
		e++
		value = rest*softplus(-z) + w*e
		return value, -rest*sigmoid(-z) - w*dE + w*rest/tau*(e-softplus(-z))
	})
}

func infoDiscoPOP() LossInfo {
	return LossInfo{
		Name: "discopop", Formula: "(1−w)·(−log σ(z)) + w·e^(−z), w = σ(z/τ)", Paper: "Lu et al., NeurIPS 2024, arXiv 2406.08414",
		Warning: "rises through z = 0, where training starts: margins first move the wrong way, to about -0.12",
		Options: []LossOption{{Name: "tau", What: "temperature τ of the switch", Default: 0.05, Low: 0.001, High: 1000}},
		make:    func(s lossSettings) Loss { return LossDiscoPOP(s.option["tau"]) },
	}
}
