package sampling

import "math"

// normalised turns log-weights into weights that sum to 1. NaN counts as weight 0; when all have weight 0 it is nil.
func normalised(logs []float64) []float64 {
	most := math.Inf(-1)
	for _, v := range logs {
		if v > most {
			most = v
		}
	}
	if math.IsInf(most, -1) {
		return nil
	}
	out, sum := make([]float64, len(logs)), 0.0
	for i, v := range logs {
		if !math.IsNaN(v) {
			out[i] = math.Exp(v - most) // the largest is exp(0), so that nothing overflows
		}
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// effective is the effective sample size 1/Σw² of weights that sum to 1: from 1, all on one, to how many there are.
func effective(weights []float64) float64 {
	sum := 0.0
	for _, w := range weights {
		sum += w * w
	}
	return 1 / sum
}

// systematic chooses n indices at n equally spaced places of the cumulated weights, which sum to 1, shifted by u in [0, 1): index i
// comes ⌊n·wᵢ⌋ or ⌈n·wᵢ⌉ times, n·wᵢ on average. Weight 0 is never chosen.
// (Kitagawa 1996; Douc, Cappé, Moulines 2005, arXiv cs/0507025, compare it with other ways.)
func systematic(weights []float64, n int, u float64) []int {
	out, sum, last := make([]int, 0, n), 0.0, 0
	for i, w := range weights {
		if w <= 0 {
			continue
		}
		last = i
		for sum += w; len(out) < n && (u+float64(len(out)))/float64(n) < sum; {
			out = append(out, i)
		}
	}
	for len(out) < n { // the weights sum to 1 only up to rounding
		out = append(out, last)
	}
	return out
}
