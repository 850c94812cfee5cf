package dpo

import "math"

// MaPO is the objective of Hong et al., "Margin-aware Preference Optimization for Aligning Diffusion Models without
// Reference", 2024 (arXiv 2406.06424), in the convention of the authors' code: the mean of ℓ(chosen) − Beta·log
// σ(1000·(φ(ℓ(chosen)) − φ(ℓ(rejected)))), where ℓ are the policy's errors and φ(ℓ) = x/(eˣ−1) with x = ℓ/2, which falls
// from 1 to 0. It looks at no reference. The paper has φ to the power of beta in place of the factor 1000.
type MaPO struct {
	// Beta is the weight of the preference term beside the supervised one: the authors' --beta_mapo.
	Beta float64
}

const (
	mapoSNR    = 0.5
	mapoFactor = 1000
)

// Evaluate implements Objective.
func (o MaPO) Evaluate(terms []Terms, grad []Grad) float64 {
	n := float64(len(terms))
	var mean float64
	for i, t := range terms {
		up, dUp := mapoPhi(t.PolicyChosen)
		down, dDown := mapoPhi(t.PolicyRejected)
		z := mapoFactor * (up - down)
		mean += (t.PolicyChosen + o.Beta*softplus(-z)) / n
		slope := o.Beta * mapoFactor * sigmoid(-z) / n
		grad[i] = Grad{Chosen: 1/n - slope*dUp, Rejected: slope * dDown}
	}
	return mean
}

// mapoPhi is φ and its derivative, by its series near 0.
func mapoPhi(loss float64) (value, slope float64) {
	x := mapoSNR * loss
	if math.Abs(x) < 1e-2 {
		return 1 - x/2 + x*x/12 - x*x*x*x/720, mapoSNR * (-0.5 + x/6 - x*x*x/180)
	}
	e := math.Expm1(x)
	return x / e, mapoSNR * (1 + x/math.Expm1(-x)) / e
}

func methodMaPO() Method {
	return method(Method{
		Name: "mapo", Title: "MaPO, margin-aware and without a reference",
		Paper:    "Hong et al., Margin-aware Preference Optimization for Aligning Diffusion Models without Reference, 2024, arXiv 2406.06424",
		Equation: "policy error of chosen − β·log σ(1000·(φ(policy error of chosen) - φ(policy error of rejected))), φ(x) = (x/2)/(e^(x/2)−1)",
		Source:   "github.com/mapo-t2i/mapo",
		BetaUnit: "weight of the preference term beside the supervised one; the authors' --beta_mapo",
		Beta:     0.1,
		Adapters: oneAdapter(), Rejected: true, Labels: LabelsHard, Kind: KindPairs, Draws: 1,
		make: func(s Settings, _ Loss) Objective { return MaPO{Beta: s.Beta} },
	})
}
