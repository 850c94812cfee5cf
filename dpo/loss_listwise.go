package dpo

import (
	"cmp"
	"math"
	"slices"
)

// LossListwise is the negative log-likelihood of the ranking of a prompt's pictures by their scores under Plackett and
// Luce's model: the sum over ranks k of −log(e^r(k)/Σ e^r(j), j from k on), where r are implicit rewards times beta.
// Rafailov et al., NeurIPS 2023 (arXiv 2305.18290), appendix A.3; Song et al., "Preference Ranking Optimization", AAAI
// 2024 (arXiv 2306.17492). Pairs of one Terms.Group hold the pictures of a prompt, each once; two pictures are a pair of
// the sigmoid loss. Equal scores rank in the order of the batch, chosen ones first.
func LossListwise() Loss {
	return groupLoss(func(pictures []member, slopes []float64) float64 {
		if unscored(pictures, slopes) {
			return math.NaN()
		}
		order := make([]int, len(pictures))
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(pictures[j].score, pictures[i].score) })
		var loss float64
		shares := make([]float64, len(order))
		for k := range order[1:] {
			rest := shares[k:]
			for j := range rest {
				rest[j] = pictures[order[k+j]].reward
			}
			best := rest[0]
			loss += softmax(rest) - best
			slopes[order[k]]--
			for j, p := range rest {
				slopes[order[k+j]] += p
			}
		}
		return loss
	})
}

func infoListwise() LossInfo {
	return LossInfo{
		Name: "listwise", Formula: "Σ over ranks −log(e^r(k)/Σ e^r(j), j ≥ k), r = beta times implicit rewards of a prompt's pictures", Paper: "Song et al., AAAI 2024, arXiv 2306.17492",
		Scores: true, Groups: true, Batch: true, make: plain(LossListwise()),
	}
}
