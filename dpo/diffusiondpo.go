package dpo

// DiffusionDPO is the objective of Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization",
// CVPR 2024 (arXiv 2311.12908), equation 14: −log σ(½·β·margin), in the convention of the authors' train.py.
type DiffusionDPO struct {
	// Beta has the unit of the authors' --beta_dpo (5000 for SD1.5): half of it multiplies a margin of mean squared
	// errors. The training script of diffusers leaves the half out: its 2500 is this 5000.
	Beta float64
	Loss Loss // of the implicit rewards times ½·β; nil: [LossSigmoid]
}

// Evaluate implements Objective.
func (o DiffusionDPO) Evaluate(terms []Terms, grad []Grad) float64 {
	return evaluate(terms, grad, 0.5*o.Beta, o.Loss)
}

func methodDPO() Method {
	return method(Method{
		Name: "dpo", Title: "Diffusion-DPO",
		Paper:    "Wallace et al., Diffusion Model Alignment Using Direct Preference Optimization, CVPR 2024, arXiv 2311.12908",
		Equation: "−log σ(½·β·((ref - policy error of chosen) - (ref - policy error of rejected))), equation 14",
		Source:   "github.com/SalesforceAIResearch/DiffusionDPO, train.py",
		BetaUnit: "half of it multiplies the margin of mean squared errors; diffusers' script leaves the half out",
		Beta:     5000, // train.py and its launchers; the paper's table has 2000 for SD1.5
		Losses:   lossNames(), Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		scale: 0.5,
		make:  func(s Settings, loss Loss) Objective { return DiffusionDPO{Beta: s.Beta, Loss: loss} },
	})
}
