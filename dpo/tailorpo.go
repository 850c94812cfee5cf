package dpo

// TailorPO is the objective of Ren et al., "Refining Alignment Framework for Diffusion Models with Intermediate-Step
// Preference Ranking", ICLR 2025 (arXiv 2502.01667): −log σ(β·margin) of two samples of the same step of a stochastic
// sampler (siblings), ranked by the reward of the picture that each leads to. Errors are those of [SiblingTerms].
//
// The margin is linear in the policy's mean: see [SiblingTerms]. No code was published; beta follows D3PO, whose
// log-densities are means over channels, height and width as here.
type TailorPO struct {
	// Beta multiplies a difference of log ratios, each averaged over channels, height and width.
	Beta float64
	Loss Loss // of the log ratios times β; nil: [LossSigmoid]
}

// Evaluate implements Objective.
func (o TailorPO) Evaluate(terms []Terms, grad []Grad) float64 {
	return evaluate(terms, grad, o.Beta, o.Loss)
}

func methodTailorPO() Method {
	return method(Method{
		Name: "tailorpo", Title: "TailorPO",
		Paper:    "Ren et al., Refining Alignment Framework for Diffusion Models with Intermediate-Step Preference Ranking, ICLR 2025, arXiv 2502.01667",
		Equation: "−log σ(β·(log policy/ref density of the better step - the same of the worse one))",
		Source:   "none published",
		BetaUnit: "multiplies the margin of log-density ratios, each averaged over channels, height and width",
		Beta:     0.1,
		Losses:   stepLosses(), Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindSiblings,
		Own:   Own{Steps: 20, Learn: 5, Guidance: 5, Count: 2},
		scale: 1,
		make:  func(s Settings, loss Loss) Objective { return TailorPO{Beta: s.Beta, Loss: loss} },
	})
}
