package dpo

import "math"

// DiffusionDPO is the objective of Wallace et al., "Diffusion Model Alignment Using Direct Preference Optimization",
// CVPR 2024 (arXiv 2311.12908), equation 14: −log σ(½·β·margin), in the convention of the authors' train.py.
type DiffusionDPO struct {
	// Beta has the unit of the authors' --beta_dpo (5000 for SD1.5): half of it multiplies a margin of mean squared
	// errors.
	Beta float64
}

// Evaluate implements Objective.
func (o DiffusionDPO) Evaluate(terms []Terms, grad []Grad) float64 {
	scale := 0.5 * o.Beta
	n := float64(len(terms))
	var loss float64
	for i, t := range terms {
		z := scale * t.Margin()
		loss += softplus(-z) / n
		slope := -sigmoid(-z) * scale / n // dL/dmargin
		grad[i] = Grad{Chosen: -slope, Rejected: slope}
	}
	return loss
}

// softplus is log(1+eˣ) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
