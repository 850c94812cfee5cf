package dpo

// Terms are the four errors of one pair at one draw of timestep and noise, which policy and reference share. An error is
// the mean over channels, height and width of the squared difference to the target, or, for methods that look at steps
// of a sampler, of minus the log-density of the step.
type Terms struct {
	PolicyChosen, PolicyRejected, RefChosen, RefRejected float64

	// Label is the probability that the chosen picture is the better one, from 0 to 1; 1 is a hard label. Objectives
	// with hard labels do not look at it.
	Label float64
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
// terms. It keeps nothing between calls. Errors as large as squares of float32 numbers give finite results; a NaN gives
// a NaN. The loss of no pairs is 0.
type Objective interface {
	Evaluate(terms []Terms, grad []Grad) (loss float64)
}
