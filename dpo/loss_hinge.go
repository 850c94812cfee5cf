package dpo

// LossHinge is max(0, 1−z), of SLiC-HF (Zhao et al., arXiv 2305.10425) with the implicit rewards of DPO, as in TRL. Pairs
// beyond a margin of 1 add nothing; at 1 exactly the slope is 0, as torch's.
func LossHinge() PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) {
		if z >= 1 {
			return 0, 0
		}
		return 1 - z, -1
	})
}

func infoHinge() LossInfo {
	return LossInfo{
		Name: "hinge", Formula: "max(0, 1−z)", Paper: "Zhao et al. (SLiC-HF), arXiv 2305.10425",
		make: plain(LossHinge()),
	}
}
