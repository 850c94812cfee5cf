package dpo

import "math"

// LossASFT is −log p(chosen) − log(1−p(rejected)), aligned supervised fine-tuning: Wang et al., "ASFT: Aligned Supervised
// Fine-Tuning through Absolute Likelihood", 2024 (arXiv 2409.10571): −log σ of the chosen picture's log odds, and of minus
// the rejected one's. p is e^(−beta·error), as in [LossORPO]. It looks at the policy's errors alone.
func LossASFT() Loss {
	return alone{PairLoss(func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		a, b = min(a, surely), min(b, surely)
		return -a - log1mexp(b), -1, 1 / math.Expm1(-b)
	})}
}

func infoASFT() LossInfo {
	return LossInfo{
		Name: "asft", Formula: "−log p(chosen) − log(1−p(rejected)), p = e^(−beta·error)", Paper: "Wang et al., 2024, arXiv 2409.10571",
		NoReference: true, Scale: 1, make: plain(LossASFT()),
	}
}
