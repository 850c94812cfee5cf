package dpo

func methodSPIN() Method {
	return method(Method{
		Name: "spin", Title: "SPIN-Diffusion, against pictures of the state before",
		Paper:    "Yuan et al., Self-Play Fine-Tuning of Diffusion Models for Text-to-Image Generation, NeurIPS 2024, arXiv 2402.10210",
		Equation: "that of dpo with a picture of the reference for the rejected one; the reference is the policy of the iteration before",
		Source:   "none followed",
		BetaUnit: "half of it multiplies the margin of mean squared errors", Beta: 5000,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindSelf, Draws: 1, Opponents: OpponentLast, Snapshots: 50,
		scale: 0.5,
		make:  func(s Settings, _ Loss) Objective { return DiffusionDPO{Beta: s.Beta} },
	})
}
