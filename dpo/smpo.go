package dpo

// Range of the raw cosine of PickScore v1 over the pairs of Pick-a-Pic v2, by which the authors of SmPO normalise
// rewards for [SmoothedLabel].
const (
	PickScoreLow  = 0.11543526500463486
	PickScoreHigh = 0.28201571106910706
)

// SmPO is the objective of Lu et al., "Smoothed Preference Optimization via ReNoise Inversion for Aligning Diffusion
// Models with Varied Human Preferences", ICML 2025 (arXiv 2506.02698), equation 9 with α = γ·p:
// −log σ(½·β·γ·(2p−1)·margin), where p is the pair's label. The factor of a hard label is γ; pairs of equal pictures have
// no gradient, and a label below ½ swaps the pair. Errors are measured at latents that the policy itself inverted.
type SmPO struct {
	// Beta has the unit of the authors' --beta_dpo: half of it, times γ(2p−1), multiplies a margin of mean squared errors.
	Beta float64
	// Gamma is the sensitivity γ to the label: 10 in the authors' code, which DPO has at 1.
	Gamma float64
}

// Evaluate implements Objective.
func (o SmPO) Evaluate(terms []Terms, grad []Grad) float64 {
	hard := LossSigmoid()
	return evaluate(terms, grad, 0.5*o.Beta, PairLoss(func(chosen, rejected float64, t Terms) (value, dChosen, dRejected float64) {
		factor := o.Gamma * (2*t.Label - 1)
		value, dChosen, dRejected = hard(factor*chosen, factor*rejected, t)
		return value, factor * dChosen, factor * dRejected
	}))
}

// SmoothedLabel is the probability that the first of two pictures is preferred, by their rewards: the softmax of both
// after low and high, the lowest and highest reward of the data, are moved to 0 and 1. Between those it lies within
// σ(±1), 0.27 to 0.73. Where no reward differs from another it is ½.
func SmoothedLabel(first, second, low, high float64) float64 {
	if !(high > low) {
		return 0.5
	}
	return sigmoid((first - second) / (high - low))
}

func methodSmPO() Method {
	return method(Method{
		Name: "smpo", Title: "SmPO-Diffusion",
		Paper:    "Lu et al., Smoothed Preference Optimization via ReNoise Inversion for Aligning Diffusion Models with Varied Human Preferences, ICML 2025, arXiv 2506.02698",
		Equation: "−log σ(½·β·γ·(2p−1)·((ref - policy error of chosen) - (ref - policy error of rejected))), equation 9",
		Source:   "github.com/JaydenLyh/SmPO",
		BetaUnit: "half of it, times gamma (2p-1), multiplies the margin of mean squared errors",
		Beta:     2000, // SD1.5; the authors take 5000 for SDXL
		Gamma:    10,
		Adapters: oneAdapter(), Reference: true, Rejected: true, Labels: LabelsSoft, Kind: KindInversion,
		scale: 0.5,
		make:  func(s Settings, _ Loss) Objective { return SmPO{Beta: s.Beta, Gamma: s.Gamma} },
	})
}
