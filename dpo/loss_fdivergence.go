package dpo

import "math"

// The losses of f-DPO, Wang et al., "Beyond Reverse KL: Generalizing Direct Preference Optimization with Diverse
// Divergence Constraints", ICLR 2024 (arXiv 2309.16240): −log σ(h(a) − h(b)), where h belongs to the divergence that holds
// the policy to the reference. Reverse KL has h(u) = u: [LossSigmoid]. Papers apply h to log ratios without beta; implicit
// rewards of diffusion models are about 1e-3 without it and h would be linear there, so u is the reward times beta.

// ofDivergence is −log σ(h(a) − h(b)); h gives its value and its derivative.
func ofDivergence(h func(u float64) (value, slope float64)) PairLoss {
	return func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		up, dUp := h(a)
		down, dDown := h(b)
		z := up - down
		return softplus(-z), -sigmoid(-z) * dUp, sigmoid(-z) * dDown
	}
}

// LossForwardKL has h(u) = −e^(−u).
func LossForwardKL() PairLoss { return LossAlpha(0) }

// LossJS has h(u) = log σ(u), of the Jensen-Shannon divergence, without the constant log 2; h'(0) is ½.
func LossJS() PairLoss {
	return ofDivergence(func(u float64) (value, slope float64) { return -softplus(-u), sigmoid(-u) })
}

// LossAlpha has h(u) = (e^((α−1)u) − 1)/(α−1), of the α-divergence: [LossForwardKL] at 0, [LossSigmoid] at 1. TRL's
// default is ½. Exponents beyond 50 go on along the tangent, so that large errors give finite losses.
func LossAlpha(alpha float64) PairLoss {
	k := alpha - 1
	if k == 0 {
		return LossSigmoid()
	}
	return ofDivergence(func(u float64) (value, slope float64) {
		value, slope = boundedExpm1(k * u)
		return value / k, slope
	})
}

// expBound is the exponent from which exponentials go on along their tangent.
const expBound = 50

// boundedExpm1 is eˣ−1 and its derivative.
func boundedExpm1(x float64) (value, slope float64) {
	if x > expBound {
		slope = math.Exp(expBound)
		return slope*(1+x-expBound) - 1, slope
	}
	return math.Expm1(x), math.Exp(x)
}

const paperFDPO = "Wang et al., ICLR 2024, arXiv 2309.16240"

func infoForwardKL() LossInfo {
	return LossInfo{Name: "forward-kl", Formula: "−log σ(h(a) − h(b)), h(u) = −e^(−u)", Paper: paperFDPO, make: plain(LossForwardKL())}
}

func infoJS() LossInfo {
	return LossInfo{Name: "js", Formula: "−log σ(h(a) − h(b)), h(u) = log σ(u)", Paper: paperFDPO, make: plain(LossJS())}
}

func infoAlpha() LossInfo {
	return LossInfo{
		Name: "alpha", Formula: "−log σ(h(a) − h(b)), h(u) = e^((α−1)u)/(α−1)", Paper: paperFDPO,
		Options: []LossOption{{Name: "alpha", What: "0 is forward-kl, 1 is sigmoid", Default: 0.5, Low: 0, High: 2}},
		make:    func(s lossSettings) Loss { return LossAlpha(s.option["alpha"]) },
	}
}
