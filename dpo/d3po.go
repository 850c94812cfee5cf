package dpo

func methodD3PO() Method {
	return method(Method{
		Name: "d3po", Title: "D3PO",
		Paper:    "Yang et al., Using Human Feedback to Fine-tune Diffusion Models without Any Reward Model, CVPR 2024, arXiv 2311.13231",
		Equation: "−log σ(β·(log ρ of a step of the better path - log ρ of the worse one's)), ρ = policy/ref density within 1 ± clip range",
		Source:   "github.com/yk7333/d3po; a reward of the finished pictures in place of people",
		BetaUnit: "multiplies the margin of clamped log-density ratios, each averaged over channels, height and width",
		Beta:     0.1, Clip: 0.1,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindPaths,
		Own:  Own{Steps: 20, Guidance: 5, Paths: 2, Inner: 1},
		make: func(s Settings, _ Loss) Objective { return ClampedRatios{Beta: s.Beta, Clip: s.Clip} },
	})
}
