package dpo

import (
	"math"
	"slices"
)

// Which pairs to learn from, and in which order. The functions work on numbers, one for each pair or picture, and give
// indices.

// CurriculumOrder orders pairs from the easiest to the hardest: by the gap between the scores of their pictures, the
// widest first, equals in their order. Pattnaik et al., "Curry-DPO: Enhancing Alignment using Curriculum Learning & Ranked
// Preferences", 2024 (arXiv 2403.07230).
func CurriculumOrder(gaps []float64) []int {
	return largestFirst(gaps)
}

// CurriculumStages cuts an order into so many stages of about equal length, for training on one after the other. Curry-DPO
// has three.
func CurriculumStages(order []int, stages int) [][]int {
	out := make([][]int, stages)
	for k := range out {
		out[k] = order[k*len(order)/stages : (k+1)*len(order)/stages]
	}
	return out
}

// ClearPreferences keeps the share of pairs, from 0 to 1 and rounded up, that the reference agrees with most: by its error
// of the rejected picture less that of the chosen one. The result is in the order of the data.
func ClearPreferences(refChosen, refRejected []float64, share float64) []int {
	gaps := make([]float64, len(refChosen))
	for i := range gaps {
		gaps[i] = refRejected[i] - refChosen[i]
	}
	return firstOf(largestFirst(gaps), share)
}

// WorthAnnotating keeps the share of pairs, rounded up, that the policy is least sure about: those with the smallest
// implicit margins of either sign. Labels are spent best on these: Yang et al., "Not All Preference Pairs Are Created
// Equal: A Recipe for Annotation-Efficient Iterative Preference Learning", 2024 (arXiv 2406.17312). The result is in the
// order of the data.
func WorthAnnotating(margins []float64, share float64) []int {
	sure := make([]float64, len(margins))
	for i, m := range margins {
		sure[i] = -math.Abs(m)
	}
	return firstOf(largestFirst(sure), share)
}

// largestFirst are the indices of v from the largest value to the least, equals in their order.
func largestFirst(v []float64) []int {
	negative := make([]float64, len(v))
	for i, x := range v {
		negative[i] = -x
	}
	return ranked(negative)
}

// firstOf is a share of an order, sorted.
func firstOf(order []int, share float64) []int {
	n := max(0, min(len(order), int(math.Ceil(share*float64(len(order))))))
	kept := slices.Clone(order[:n])
	slices.Sort(kept)
	return kept
}

// DiverseExtremes picks count pictures of a pool: the best and the worst by score, then again and again the one that is
// furthest from all that are picked, by the cosine of embeddings, whose lengths do not matter. It is the active selection
// of AMPO, Gupta et al., ICML 2025 (arXiv 2502.18293), by its rule of coverage; [LossMPOSet] takes what it picks. Equals
// go by their order. The result is in the order of picking, and is the whole pool where that is no larger.
func DiverseExtremes(scores []float64, embeddings [][]float32, count int) []int {
	count = min(count, len(scores))
	if count <= 0 {
		return nil
	}
	order := largestFirst(scores)
	picked := []int{order[0]}
	if count > 1 {
		picked = append(picked, order[len(order)-1])
	}
	near := make([]float64, len(scores)) // cosine with the nearest one that is picked
	for i := range near {
		near[i] = math.Inf(-1)
		for _, p := range picked {
			near[i] = max(near[i], cosine(embeddings[i], embeddings[p]))
		}
	}
	for len(picked) < count {
		best := -1
		for i := range near {
			if !slices.Contains(picked, i) && (best < 0 || near[i] < near[best]) {
				best = i
			}
		}
		picked = append(picked, best)
		for i := range near {
			near[i] = max(near[i], cosine(embeddings[i], embeddings[best]))
		}
	}
	return picked
}

// cosine is 0 for embeddings of length 0.
func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}
