package dpo

import "math"

// ClampedRatios is the objective of D3PO (Yang et al., CVPR 2024, arXiv 2311.13231) and SPO (Liang et al., CVPR 2025,
// arXiv 2406.04314): −log σ(β·(log ρ of the better step − log ρ of the worse one)), each ratio ρ of the policy's density to
// the reference's kept within 1 ± Clip. Errors are minus log-densities of steps, see [StepError].
//
// A ratio outside its range has no derivative, so that a step whose both ratios are out teaches nothing. The loss lies
// between −log σ(β·log((1+Clip)/(1−Clip))) and its mirror image: from 0.1261 to 2.1328 for β 10 and Clip 0.1.
type ClampedRatios struct {
	// Beta multiplies a difference of log ratios, each averaged over channels, height and width.
	Beta float64
	Clip float64 // above 0 and below 1
}

// Evaluate implements Objective.
func (o ClampedRatios) Evaluate(terms []Terms, grad []Grad) float64 {
	low, high := math.Log1p(-o.Clip), math.Log1p(o.Clip)
	clamped := func(t Terms) Terms {
		// Errors whose rewards are the clamped log ratios.
		chosen, rejected := t.ImplicitRewards()
		return Terms{PolicyChosen: -clamp(chosen, low, high), PolicyRejected: -clamp(rejected, low, high), Label: t.Label}
	}
	inside := make([]Terms, len(terms))
	for i, t := range terms {
		inside[i] = clamped(t)
	}
	loss := evaluate(inside, grad, o.Beta, nil)
	for i, t := range terms {
		chosen, rejected := t.ImplicitRewards()
		if chosen < low || chosen > high {
			grad[i].Chosen = 0
		}
		if rejected < low || rejected > high {
			grad[i].Rejected = 0
		}
	}
	return loss
}

// clamp keeps a number within bounds; no number stays none.
func clamp(v, low, high float64) float64 { return max(low, min(v, high)) }
