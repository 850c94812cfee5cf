package dpo

// LossSimPO is −log σ(z−γ) of the policy's errors alone: z is beta times (rejected − chosen error), Meng et al., "SimPO",
// NeurIPS 2024 (arXiv 2405.14734), whose lengths are the mean over channels, height and width here. gamma is the target
// margin. It is not [SmPO].
//
// Errors differ from picture to picture by far more than training moves them, and the factors of losses with a reference
// would saturate nearly every pair; the default is that of [MaPO].
func LossSimPO(gamma float64) Loss {
	return alone{ofMargin(func(z, _ float64) (value, slope float64) { return softplus(gamma - z), -sigmoid(gamma - z) })}
}

// likelihoodScale is what errors are multiplied by in margins without a reference: as much as in [MaPO], whose 1000·φ has this
// slope at small errors.
const likelihoodScale = mapoFactor * mapoSNR / 2

func infoSimPO() LossInfo {
	return LossInfo{
		Name: "simpo", Formula: "−log σ(z−γ)", Paper: "Meng et al., NeurIPS 2024, arXiv 2405.14734",
		Warning:     "nothing bounds the error of rejected pictures; give --sft-weight or take cpo",
		NoReference: true, Scale: likelihoodScale,
		Options: []LossOption{{Name: "gamma", What: "target margin γ", Default: 0.5, Low: 0, High: 1000}},
		make:    func(s lossSettings) Loss { return LossSimPO(s.option["gamma"]) },
	}
}
