package dpo

// Terms are the four denoising errors of one pair, each a mean over channels, height and width, at one timestep with
// one noise shared by both pictures and by policy and reference.
type Terms struct {
	PolicyChosen, PolicyRejected, RefChosen, RefRejected float64
}

// ImplicitRewards are the reference's errors minus the policy's, without beta.
func (t Terms) ImplicitRewards() (chosen, rejected float64) {
	return t.RefChosen - t.PolicyChosen, t.RefRejected - t.PolicyRejected
}

// Margin is the implicit reward of the chosen picture minus that of the rejected one.
func (t Terms) Margin() float64 {
	chosen, rejected := t.ImplicitRewards()
	return chosen - rejected
}

// Grad is the derivative of a loss with respect to the policy's two errors. The reference has none: it is frozen.
type Grad struct {
	Chosen, Rejected float64
}

// Objective maps the errors of a batch to the mean loss, and writes its derivative into grad, which is as long as
// terms. It keeps nothing between calls.
type Objective interface {
	Evaluate(terms []Terms, grad []Grad) (loss float64)
}
