package dpo

import "math"

// LossORPO is −log p − λ·log σ(log odds of chosen − log odds of rejected), where p = e^(−beta·error) stands for the
// likelihood of a picture under the policy: Hong et al., EMNLP 2024 (arXiv 2403.07691), with lambda for λ. It looks at the
// policy's errors alone. The research script of diffusers subtracts losses where the paper subtracts log-likelihoods,
// which rewards a larger error of the chosen picture; this has the paper's sign.
func LossORPO(lambda float64) Loss {
	return alone{PairLoss(func(a, b float64, _ Terms) (value, dChosen, dRejected float64) {
		a, b = min(a, surely), min(b, surely)
		odds := (a - b) - (log1mexp(a) - log1mexp(b))
		pull := lambda * sigmoid(-odds)
		return -a + lambda*softplus(-odds), -1 + pull/math.Expm1(a), -pull / math.Expm1(b)
	})}
}

// surely is the largest log-likelihood that odds are taken of: errors of 0 would have infinite ones.
const surely = -1e-9

// log1mexp is log(1−eˣ), for x below 0.
func log1mexp(x float64) float64 {
	if x > -math.Ln2 {
		return math.Log(-math.Expm1(x))
	}
	return math.Log1p(-math.Exp(x))
}

func infoORPO() LossInfo {
	return LossInfo{
		Name: "orpo", Formula: "−log p(chosen) − λ·log σ(log odds of chosen − log odds of rejected), p = e^(−beta·error)", Paper: "Hong et al., EMNLP 2024, arXiv 2403.07691",
		NoReference: true, Scale: 1,
		Options: []LossOption{{Name: "lambda", What: "weight λ of the odds", Default: 0.1, Low: 0, High: 1e6}},
		make:    func(s lossSettings) Loss { return LossORPO(s.option["lambda"]) },
	}
}
