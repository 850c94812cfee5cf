package dpo

// LossIPO is (z−½)², identity preference optimisation: Azar et al., AISTATS 2024 (arXiv 2310.12036), equation 17. The
// paper and TRL write (Δ−1/(2β))² of the margin Δ without beta, which is this divided by β². The betas of diffusion
// models are in the thousands, so that form has values of 1e-8 and needs a learning rate of its own; this one has the
// scale of the other losses and the same minimum, a margin of 1/(2β).
//
// It is not "iterative preference optimisation" of videos, which has the same letters.
func LossIPO() PairLoss {
	return ofMargin(func(z, _ float64) (value, slope float64) {
		d := z - 0.5
		return d * d, 2 * d
	})
}

func infoIPO() LossInfo {
	return LossInfo{
		Name: "ipo", Formula: "(z−½)²", Paper: "Azar et al., AISTATS 2024, arXiv 2310.12036",
		make: plain(LossIPO()),
	}
}
