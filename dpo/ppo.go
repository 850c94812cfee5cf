package dpo

import "math"

// PPO is the objective of DDPO (Black et al., ICLR 2024, arXiv 2305.13301; with importance sampling and clipping) and
// Flow-GRPO (Liu et al., NeurIPS 2025, arXiv 2505.05470) for single steps of paths: the mean of
// max(−A·ρ, −A·clip(ρ, 1 ± Clip)) + KL·divergence. A is [Terms].Advantage, and ρ the ratio of the policy's density of the step
// to that of the policy that drew it, whose error stands in RefChosen. Rejected errors are not looked at.
//
// Where the policy is still the one that drew the steps every ratio is 1 and the loss is minus the mean advantage, about 0,
// but its derivative is not. A step has none once its ratio has gone further than Clip in the direction that its advantage
// pulls; Clip is for ratios of densities that are averaged over channels, height and width.
type PPO struct {
	Clip float64 // above 0 and below 1
	// KL is the weight of the divergence from the frozen reference, which is half of DriftChosen where that is the squared
	// distance between both means in standard deviations of the step, averaged over elements. 0: none.
	KL float64
}

// Evaluate implements Objective.
func (o PPO) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		log, _ := t.ImplicitRewards()
		ratio := math.Exp(min(log, maxLogRatio))
		free, clipped := -t.Advantage*ratio, -t.Advantage*clamp(ratio, 1-o.Clip, 1+o.Clip)
		mean += max(free, clipped) / n
		grad[i] = Grad{}
		if free >= clipped {
			grad[i].Chosen = t.Advantage * ratio / n // the ratio falls as the error grows
		}
		if o.KL != 0 {
			mean += 0.5 * o.KL * t.DriftChosen / n
			grad[i].DriftChosen = 0.5 * o.KL / n
		}
	}
	return mean
}

// maxLogRatio keeps ratios finite; only a policy that is beyond help has larger ones.
const maxLogRatio = 80
