package dpo

func methodSPO() Method {
	return method(Method{
		Name: "spo", Title: "SPO (step-aware preference optimisation)",
		Paper:    "Liang et al., Aesthetic Post-Training Diffusion Models from Generic Preferences with Step-by-step Preference Optimization, CVPR 2025, arXiv 2406.04314",
		Equation: "−log σ(β·(log ρ of the better step - log ρ of the worse one)), ρ = policy/ref density within 1 ± clip range",
		Source:   "github.com/RockeyCoss/SPO; a reward of the expected picture stands in for its step-aware preference model",
		BetaUnit: "multiplies the margin of clamped log-density ratios, each averaged over channels, height and width",
		Beta:     10, Clip: 0.1,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindSiblings,
		Own:  Own{Steps: 20, Skip: 4, Guidance: 5, Count: 4, Threshold: 0.3},
		make: func(s Settings, _ Loss) Objective { return ClampedRatios{Beta: s.Beta, Clip: s.Clip} },
	})
}
