package dpo

import "math"

// WPO weighs the losses of pairs, −log σ(z), by how probable the policy would make both pictures itself: Zhou et al.,
// "WPO: Enhancing RLHF with Weighted Preference Optimization", EMNLP 2024 (arXiv 2406.11827). A diffusion model has no
// probabilities of pictures, and the reference stands for the source of the data: the weight is e^(κ·(a+b)/2), at most 1,
// below that where the policy fits the pair worse than the reference does. Weights are divided by their mean over the
// batch, and are constants to the gradient.
type WPO struct {
	Kappa float64 // from 0; 0 weighs all alike
}

// Evaluate implements [Loss].
func (l WPO) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	pair, n := LossSigmoid(), float64(len(terms))
	logs := make([]float64, len(terms))
	most := math.Inf(-1)
	for i, t := range terms {
		a, b := t.ImplicitRewards()
		logs[i] = min(0, l.Kappa*scale*(a+b)/2)
		most = max(most, logs[i])
	}
	var sum float64
	for i := range logs {
		logs[i] = math.Exp(logs[i] - most)
		sum += logs[i]
	}
	var mean float64
	for i, v := range logs {
		w := v * n / sum
		mean += w * pair.Evaluate(scale, terms[i:i+1], grad[i:i+1]) / n
		grad[i].Chosen *= w / n
		grad[i].Rejected *= w / n
	}
	return mean
}

func infoWPO() LossInfo {
	return LossInfo{
		Name: "wpo", Formula: "−w·log σ(z), w = min(1, e^(κ·(a+b)/2)) over its mean, held constant", Paper: "Zhou et al., EMNLP 2024, arXiv 2406.11827",
		Batch:   true,
		Options: []LossOption{{Name: "kappa", What: "0 weighs all pairs alike", Default: 1, Low: 0, High: 1e6}},
		make:    func(s lossSettings) Loss { return WPO{Kappa: s.option["kappa"]} },
	}
}
