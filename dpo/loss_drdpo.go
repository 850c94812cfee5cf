package dpo

import "math"

// DrDPO is −β'·log mean e^(−L/β') over the losses L of the pairs, of [LossSigmoid]: Wu et al., "Towards Robust Alignment
// of Language Models: Distributionally Robustifying Direct Preference Optimization", ICLR 2025 (arXiv 2407.07880). Pairs
// of high loss, which are more often swapped ones, weigh less. Temperature is β': the mean where it is large, the least
// loss where it is small.
type DrDPO struct {
	Temperature float64 // above 0
}

// Evaluate implements [Loss].
func (l DrDPO) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	if len(terms) == 0 {
		return 0
	}
	pair, n := LossSigmoid(), float64(len(terms))
	values := make([]float64, len(terms))
	least := math.Inf(1)
	for i := range terms {
		values[i] = pair.Evaluate(scale, terms[i:i+1], grad[i:i+1])
		least = min(least, values[i])
	}
	var sum, less float64 // of weights, and how far their mean is below 1
	for i, v := range values {
		less += math.Expm1((least-v)/l.Temperature) / n
		values[i] = math.Exp((least - v) / l.Temperature)
		sum += values[i]
	}
	for i, w := range values {
		grad[i].Chosen *= w / sum
		grad[i].Rejected *= w / sum
	}
	return least - l.Temperature*math.Log1p(less)
}

func infoDrDPO() LossInfo {
	return LossInfo{
		Name: "dr-dpo", Formula: "−β'·log mean e^(−L/β'), L = −log σ(z)", Paper: "Wu et al., ICLR 2025, arXiv 2407.07880",
		Batch:   true,
		Options: []LossOption{{Name: "temperature", What: "β': less of it trusts pairs of high loss less", Default: 1, Low: 1e-3, High: 1e6}},
		make:    func(s lossSettings) Loss { return DrDPO{Temperature: s.option["temperature"]} },
	}
}
