package dpo

// Terms are the four errors of one pair at one draw of timestep and noise, which policy and reference share. An error is
// the mean over channels, height and width of the squared difference to the target, or, for methods that look at steps
// of a sampler, of minus the log-density of the step.
type Terms struct {
	PolicyChosen, PolicyRejected, RefChosen, RefRejected float64

	// Label is the probability that the chosen picture is the better one, from 0 to 1; 1 is a hard label. Objectives
	// with hard labels do not look at it.
	Label float64

	// What some methods look at besides. Drifts are mean squared differences between the outputs of policy and reference for
	// a picture; Dot is the mean product of what both outputs miss their targets by, so that Dot of a picture and itself is its
	// error. Trainers fill them in for methods with Method.Drift and Method.Dot.
	DriftChosen, DriftRejected, Dot float64

	// Scores are explicit rewards of the pictures, of any unit, higher is better; NaN where nobody gave any.
	ScoreChosen, ScoreRejected float64
	// Advantage is how much better the path of a step ended than others of its prompt, see [Advantages]; for methods that learn
	// from rewards and not from comparisons.
	Advantage float64
	// Mismatched is the mean implicit reward, without beta, of the term's pictures under the prompts of others; for
	// [AgainstOthers].
	Mismatched float64
	// Group numbers the prompts of a batch: pairs with the same one are of one prompt, for losses that rank more than two
	// pictures.
	Group int
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

// Grad is the derivative of a loss with respect to the policy's two errors and its two drifts. The reference has none: it is
// frozen. Nor has Dot, which objectives weigh by and do not train.
type Grad struct {
	Chosen, Rejected           float64
	DriftChosen, DriftRejected float64
}

// Objective maps the errors of a batch to the mean loss, and writes its derivative into grad, which is as long as
// terms. It keeps nothing between calls. Errors as large as squares of float32 numbers give finite results; a NaN gives
// a NaN. The loss of no pairs is 0.
type Objective interface {
	Evaluate(terms []Terms, grad []Grad) (loss float64)
}
