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
