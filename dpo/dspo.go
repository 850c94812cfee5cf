package dpo

// DSPO is the objective of Zhu et al., "DSPO: Direct Score Preference Optimization for Diffusion Model Alignment", ICLR
// 2025, in the convention of the authors' code for SD1.5: the mean square of e − k·d, where e is what the policy's output
// for the chosen picture misses its target by, d the difference between the outputs of policy and reference, and k = β·(1
// − σ(½·β·margin)). As in the code the gradient goes through k, too.
//
// The errors suffice. The reference misses its target by e − d, so that twice the mean of e·d is PolicyChosen +
// DriftChosen − RefChosen, and the square is (1−k)·PolicyChosen + k·RefChosen + (k²−k)·DriftChosen. The authors' branch
// for SDXL is another loss and is not here.
type DSPO struct {
	// Beta has the unit of the authors' --beta_dpo; they take 0.001 to 0.05 for SD1.5.
	Beta float64
}

// Evaluate implements Objective. It needs Terms.DriftChosen.
func (o DSPO) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		z := 0.5 * o.Beta * t.Margin()
		k := o.Beta * sigmoid(-z)
		mean += ((1-k)*t.PolicyChosen + k*t.RefChosen + (k*k-k)*t.DriftChosen) / n
		byK := t.RefChosen - t.PolicyChosen + (2*k-1)*t.DriftChosen
		byError := 0.5 * o.Beta * k * sigmoid(z) * byK // through k and the margin
		grad[i] = Grad{Chosen: (1 - k + byError) / n, Rejected: -byError / n, DriftChosen: (k*k - k) / n}
	}
	return mean
}

func methodDSPO() Method {
	return method(Method{
		Name: "dspo", Title: "DSPO, direct score preference optimisation",
		Paper:    "Zhu et al., DSPO: Direct Score Preference Optimization for Diffusion Model Alignment, ICLR 2025, OpenReview xyfb9HHvMe",
		Equation: "mean square of (policy − target) − β·(1−σ(z))·(policy − reference) for chosen, z = ½·β·margin",
		Source:   "github.com/huaishengzhu/DSPO, train.py for SD1.5",
		BetaUnit: "multiplies both the margin, with a half, and the pull to the reference", Beta: 0.001,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Drift: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		scale: 0.5,
		make:  func(s Settings, _ Loss) Objective { return DSPO{Beta: s.Beta} },
	})
}
