package dpo

// LossSigmoid is −log σ(z), the loss of DPO: Rafailov et al., NeurIPS 2023 (arXiv 2305.18290), equation 7. ln 2 where
// policy and reference agree.
func LossSigmoid() PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) { return softplus(-z), -sigmoid(-z) })
}

func infoSigmoid() LossInfo {
	return LossInfo{
		Name: "sigmoid", Formula: "−log σ(z)", Paper: "Rafailov et al., NeurIPS 2023, arXiv 2305.18290",
		make: plain(LossSigmoid()),
	}
}
