package dpo

// LossBCO is −log σ(a−δ) − log σ(δ−b), binary classifier optimisation: Jung et al., 2024 (arXiv 2404.04656). delta is the
// reward shift δ; TRL's bco_pair has it at 0, the paper at a running mean of all rewards.
func LossBCO(delta float64) PairLoss {
	return func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		return softplus(delta-a) + softplus(b-delta), -sigmoid(delta - a), sigmoid(b - delta)
	}
}

func infoBCO() LossInfo {
	return LossInfo{
		Name: "bco", Formula: "−log σ(a−δ) − log σ(δ−b)", Paper: "Jung et al., 2024, arXiv 2404.04656",
		Options: []LossOption{{Name: "delta", What: "reward shift δ", Default: 0, Low: -1000, High: 1000}},
		make:    func(s lossSettings) Loss { return LossBCO(s.option["delta"]) },
	}
}
