package dpo

// LossNCA is −log σ(a) − ½·log σ(−a) − ½·log σ(−b), noise contrastive alignment of pairs: Chen et al., NeurIPS 2024 (arXiv
// 2402.05369); TRL's nca_pair. It looks at each reward by itself, so that the chosen picture's likelihood does not fall
// with the rejected one's.
func LossNCA() PairLoss {
	return func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		return softplus(-a) + 0.5*softplus(a) + 0.5*softplus(b), 0.5*sigmoid(a) - sigmoid(-a), 0.5 * sigmoid(b)
	}
}

func infoNCA() LossInfo {
	return LossInfo{
		Name: "nca", Formula: "−log σ(a) − ½·log σ(−a) − ½·log σ(−b)", Paper: "Chen et al., NeurIPS 2024, arXiv 2402.05369",
		make: plain(LossNCA()),
	}
}
