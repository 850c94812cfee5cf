// Package monitor watches a training run: it keeps the metrics of every step (Log), shows them (Bar), and stops the run when they
// say that it has gone wrong (Guard).
package monitor

import "math"

// Names of metrics; those of TRL where it has one. What a method cannot measure is left out.
const (
	Loss     = "loss"               // mean over the pairs of the step
	Chosen   = "rewards/chosen"     // mean implicit reward of the chosen: β·(reference error − policy error)
	Rejected = "rewards/rejected"   // the same of the rejected
	Margins  = "rewards/margins"    // chosen − rejected
	Accuracy = "rewards/accuracies" // share of pairs with a positive margin
	GradNorm = "grad_norm"          // L2 norm of the gradient before clipping
	Rate     = "learning_rate"      // of this step
	Epoch    = "epoch"              // passes over the data so far

	// Saturated is the share of pairs whose weight in the gradient, σ(−z) for the loss −log σ(z), is below 0.05: z > 2.94.
	Saturated = "saturated"
	// ChosenDrift is the policy's error on the chosen minus the reference's. Above zero the policy has become worse at what it
	// should make, even when the margin grows because it has become worse still at the rejected.
	ChosenDrift = "chosen_drift"

	Reward       = "reward"        // mean reward of the policy's own samples, for methods that make them
	RewardSpread = "reward_spread" // best minus worst of the samples that are compared, on average
	Clipped      = "clipped"       // share of steps whose density ratio is beyond its range, for methods that keep it within one

	// Evaluations are those of the denoiser that the step asked for: a row forwards is one, with the way back three.
	Evaluations = "unet_evaluations"

	PairsPerSecond = "pairs_per_second"
	Memory         = "memory_bytes" // held by the process
)

// SaturatedWeight is the weight below which a pair counts as saturated.
const SaturatedWeight = 0.05

// Value is one number of a step.
type Value struct {
	Name  string
	Value float64 // NaN: not known
}

// Metrics are the numbers of one step, in the order in which they are written.
type Metrics struct {
	Step    int
	Values  []Value // those that follow from settings, seed and data
	Timings []Value // those that another run of the same would not repeat, such as PairsPerSecond and Memory
}

// Get looks a number up by its name, among Timings too.
func (m Metrics) Get(name string) (v float64, ok bool) {
	for _, list := range [][]Value{m.Values, m.Timings} {
		for _, x := range list {
			if x.Name == name {
				return x.Value, true
			}
		}
	}
	return math.NaN(), false
}

// Series lists the steps that have a number of this name, and the number.
func Series(rows []Metrics, name string) (steps, values []float64) {
	for _, m := range rows {
		if v, ok := m.Get(name); ok {
			steps, values = append(steps, float64(m.Step)), append(values, v)
		}
	}
	return steps, values
}
