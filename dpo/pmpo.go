package dpo

// PMPO is preference optimisation as probabilistic inference, Abdolmaleki et al., 2024 (arXiv 2410.04166): the mean of
// Alpha·(policy error of chosen) − (1−Alpha)·(policy error of rejected) + KL·(both drifts' mean). Chosen and rejected
// pictures need not be of one prompt. Alpha 1 learns from good pictures alone, 0 from bad ones alone; the less of it, the
// more the drift has to hold.
type PMPO struct {
	Alpha float64 // from 0 to 1
	KL    float64 // weight of the mean squared difference between the outputs of policy and reference
}

// Evaluate implements Objective. It needs Terms.DriftChosen and DriftRejected.
func (o PMPO) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		mean += (o.Alpha*t.PolicyChosen - (1-o.Alpha)*t.PolicyRejected + o.KL*(t.DriftChosen+t.DriftRejected)/2) / n
		grad[i] = Grad{
			Chosen: o.Alpha / n, Rejected: -(1 - o.Alpha) / n,
			DriftChosen: o.KL / (2 * n), DriftRejected: o.KL / (2 * n),
		}
	}
	return mean
}

func methodPMPO() Method {
	return method(Method{
		Name: "pmpo", Title: "PMPO, preference optimisation as probabilistic inference",
		Paper:    "Abdolmaleki et al., Preference Optimization as Probabilistic Inference, 2024, arXiv 2410.04166",
		Equation: "γ·policy error of chosen − (1−γ)·policy error of rejected + β·mean of both mean squared differences between policy and ref",
		Source:   "none published; errors in place of log-likelihoods",
		BetaUnit: "weight of the mean squared difference between the outputs of policy and reference", Beta: 0.5,
		Gamma: 0.5, GammaMost: 1,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Drift: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(s Settings, _ Loss) Objective { return PMPO{Alpha: s.Gamma, KL: s.Beta} },
	})
}
