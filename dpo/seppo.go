package dpo

// SePPO is the objective of Zhang et al., "SePPO: Semi-Policy Preference Optimization for Diffusion Alignment", 2024
// (arXiv 2410.05255): −log σ(½·β·(a − s·b)). Only the chosen picture is from the data; the rejected one was made by an
// earlier checkpoint of the policy, which is the reference, too. s says what such a picture is: where the reference fits
// the chosen picture better than the policy does, it is good, s = −1, and both pictures are learnt; else it is a loser, s
// = +1, as in [DiffusionDPO]. s is a constant to the gradient, and a tie is a loser.
//
// With s = +1 throughout and the iterate before as the reference this is SPIN-Diffusion (Yuan et al., NeurIPS 2024, arXiv
// 2402.10210), whose objective is [DiffusionDPO].
type SePPO struct {
	// Beta has the unit of [DiffusionDPO].
	Beta float64
}

// Evaluate implements Objective.
func (o SePPO) Evaluate(terms []Terms, grad []Grad) float64 {
	hard := LossSigmoid()
	return evaluate(terms, grad, 0.5*o.Beta, PairLoss(func(a, b float64, t Terms) (value, dChosen, dRejected float64) {
		s := 1.0
		if t.RefChosen < t.PolicyChosen {
			s = -1
		}
		value, dChosen, dRejected = hard(a, s*b, t)
		return value, dChosen, s * dRejected
	}))
}

func methodSePPO() Method {
	return method(Method{
		Name: "seppo", Title: "SePPO, against pictures of earlier states",
		Paper:    "Zhang et al., SePPO: Semi-Policy Preference Optimization for Diffusion Alignment, 2024, arXiv 2410.05255",
		Equation: "−log σ(½·β·((ref - policy error of chosen) − s·(ref - policy error of the reference's own))), s = −1 where ref fits chosen better",
		Source:   "none published",
		BetaUnit: "half of it multiplies the margin of mean squared errors", Beta: 5000,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsHard, Kind: KindSelf, Draws: 1, Opponents: OpponentAny, Snapshots: 30,
		scale: 0.5,
		make:  func(s Settings, _ Loss) Objective { return SePPO{Beta: s.Beta} },
	})
}
