package dpo

import "math"

// LossOmniDPO is w·(−log σ(z)) with w = σ(η·gap)·(1 − σ(z−τ))^γ, which is a constant to the gradient: pairs whose pictures
// differ by more in their scores, and which the policy has not learnt yet, count more. Peng et al., "Omni-DPO: A
// Dual-Perspective Paradigm for Dynamic Preference Learning of LLMs", 2025 (arXiv 2506.10054). The paper's third term, on
// chosen answers, is --sft-weight here. gap is the chosen picture's score minus the rejected one's, in its own unit.
func LossOmniDPO(eta, tau, gamma float64) PairLoss {
	return func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		z := a - b
		w := sigmoid(eta*gap(t)) * math.Exp(-gamma*softplus(z-tau))
		slope := -w * sigmoid(-z)
		return w * softplus(-z), slope, -slope
	}
}

// gap is how much better the chosen picture's score is.
func gap(t Terms) float64 { return t.ScoreChosen - t.ScoreRejected }

func infoOmniDPO() LossInfo {
	return LossInfo{
		Name: "omni-dpo", Formula: "−w·log σ(z), w = σ(η·gap)·(1 − σ(z−τ))^γ held constant", Paper: "Peng et al., 2025, arXiv 2506.10054",
		Scores: true,
		Options: []LossOption{
			{Name: "eta", What: "steepness η in the gap of scores", Default: 1, Low: 0, High: 1e6},
			{Name: "tau", What: "margin τ that counts as learnt", Default: 0, Low: -1000, High: 1000},
			{Name: "gamma", What: "focus γ on pairs that are not learnt", Default: 1, Low: 0, High: 100},
		},
		make: func(s lossSettings) Loss { return LossOmniDPO(s.option["eta"], s.option["tau"], s.option["gamma"]) },
	}
}
