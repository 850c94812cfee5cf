package dpo

func methodInPO() Method {
	return method(Method{
		Name: "inpo", Title: "InPO, Diffusion-DPO of inverted pictures",
		Paper:    "Lu et al., InPO: Inversion Preference Optimization with Reparametrized DDIM for Efficient Diffusion Model Alignment, CVPR 2025, arXiv 2503.18454",
		Equation: "−log σ(½·β·((ref - policy error of chosen) - (ref - policy error of rejected))), errors at inverted latents",
		Source:   "github.com/JaydenLyh/InPO",
		BetaUnit: "half of it multiplies the margin of mean squared errors", Beta: 2000, // SD1.5
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindInversion,
		Inversion: "ddim", InversionNoise: 0.1,
		scale: 0.5,
		make:  func(s Settings, _ Loss) Objective { return DiffusionDPO{Beta: s.Beta} },
	})
}
