package dpo

// WithSFT adds a supervised term to an objective: Weight times the mean of PolicyChosen, the loss of [SFT]. Preference losses
// alone may worsen the chosen pictures as long as the rejected ones worsen faster; the term holds against that. Liu et al.,
// "Provably Mitigating Overoptimization in RLHF: Your SFT Loss is Implicitly an Adversarial Regularizer", NeurIPS 2024
// (arXiv 2405.16436), and the term of CPO (Xu et al., arXiv 2401.08417).
type WithSFT struct {
	Objective Objective
	// Weight is per unit of mean squared error: the derivative with respect to PolicyChosen. That of the sigmoid loss
	// starts at a quarter of --beta-dpo, so that a tenth of it is a weight of 125 at a beta of 5000.
	Weight float64
}

// Evaluate implements Objective.
func (o WithSFT) Evaluate(terms []Terms, grad []Grad) float64 {
	loss := o.Objective.Evaluate(terms, grad)
	n := float64(len(terms))
	for i, t := range terms {
		loss += o.Weight * t.PolicyChosen / n
		grad[i].Chosen += o.Weight / n
	}
	return loss
}
