package metric

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// positions gives every score its place, 0 for the highest; of equal scores the earlier one comes first.
func positions(score []float64) []int {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	at := make([]int, len(score))
	for p, i := range order {
		at[i] = p
	}
	return at
}

// averageRanks ranks from the lowest, 1; equal values share the average of their places.
func averageRanks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	ranks := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			ranks[k] = float64(i+j+1) / 2
		}
		i = j
	}
	return ranks
}

// negated turns ranks, of which the lowest is best, into a scale that grows with quality.
func negated(rank []float64) []float64 {
	out := make([]float64, len(rank))
	for i, r := range rank {
		out[i] = -r
	}
	return out
}

// Spearman is spearman: per group the correlation of average ranks, averaged. Groups in which all ranks or all scores are
// equal have none and are left out.
func Spearman(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 {
		return stat.Correlation(averageRanks(negated(g.Rank)), averageRanks(g.Score), nil)
	})
}

// KendallTauB is kendall_tau_b: per group (concordant − discordant)/√((n₀−n₁)(n₀−n₂)), n₀ all pairs, n₁ and n₂ those tied in
// ranks and in scores; averaged. Groups without an untied pair on either side are left out.
func KendallTauB(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 { return tauB(negated(g.Rank), g.Score) })
}

func tauB(x, y []float64) float64 {
	balance, untiedX, untiedY := 0.0, 0.0, 0.0
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			dx, dy := cmp.Compare(x[i], x[j]), cmp.Compare(y[i], y[j])
			balance += float64(dx * dy)
			untiedX += math.Abs(float64(dx))
			untiedY += math.Abs(float64(dy))
		}
	}
	return balance / math.Sqrt(untiedX*untiedY)
}

// TieOptimal is the result of PairwiseTieOptimal.
type TieOptimal struct {
	Accuracy float64
	Epsilon  float64 // scores that differ by at most Epsilon count as tied
	Pairs    int
}

// PairwiseTieOptimal is pairwise_acc_tie_opt: the share of all pairs inside groups, tied ones included, whose relation
// (better, worse, tied) is predicted, at the threshold that makes the share largest on the same data; of several the
// smallest. (Deutsch, Foster, Freitag 2023, "Ties matter", section 6.)
func PairwiseTieOptimal(groups []Group) TieOptimal {
	type pair struct {
		gap       float64
		tied, hit bool // hit: the strict order is the right one
	}
	var pairs []pair
	right := 0
	for i := range groups {
		g := &groups[i]
		for a := range g.Rank {
			for b := a + 1; b < len(g.Rank); b++ {
				dr, ds := cmp.Compare(g.Rank[b], g.Rank[a]), cmp.Compare(g.Score[a], g.Score[b])
				p := pair{gap: math.Abs(g.Score[a] - g.Score[b]), tied: dr == 0, hit: dr != 0 && dr == ds}
				pairs = append(pairs, p)
				if p.hit {
					right++
				}
			}
		}
	}
	if len(pairs) == 0 {
		return TieOptimal{Accuracy: math.NaN(), Epsilon: math.NaN()}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.gap, b.gap) })
	// Raising the threshold past a pair turns it into a predicted tie. At 0 only equal scores are.
	best, epsilon := -1, 0.0
	for i := 0; i <= len(pairs); {
		if i == len(pairs) || pairs[i].gap > 0 || i > 0 {
			if right > best {
				best = right
				if i > 0 {
					epsilon = pairs[i-1].gap
				}
			}
		}
		if i == len(pairs) {
			break
		}
		for gap := pairs[i].gap; i < len(pairs) && pairs[i].gap == gap; i++ {
			if pairs[i].hit {
				right--
			}
			if pairs[i].tied {
				right++
			}
		}
	}
	return TieOptimal{Accuracy: float64(best) / float64(len(pairs)), Epsilon: epsilon, Pairs: len(pairs)}
}
