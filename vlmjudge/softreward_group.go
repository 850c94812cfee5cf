package vlmjudge

import (
	"fmt"
	"math"
	"slices"
)

// What the soft reward of a picture within its group is.
const (
	// SoftWinRate is the expected share of the others that a picture beats: the mean of the judge's probabilities where every pair was
	// compared, else by the strengths. 0 to 1, with mean ½ over the group.
	SoftWinRate = "win-rate"
	// SoftStrength is the strength of Bradley–Terry, brought to mean 0 and standard deviation 1 within the group (divided by the number
	// of pictures; 0 where all are equal).
	SoftStrength = "strength"
	// SoftRank is the expected utility of a picture's rank, Σ u(r)·P(rank r) with u(r) = 1 − (r−1)/(N−1), under Plackett and Luce's model
	// with the strengths. The expectation of a rank is a sum over pairs there, so it is the win rate that the strengths tell.
	SoftRank = "rank"
)

// SoftKinds lists them.
func SoftKinds() []string { return []string{SoftWinRate, SoftStrength, SoftRank} }

// SoftRewards are the rewards of a tournament's pictures for training the model that made them, by one of the names above. A single
// picture has 1 (strength: 0). Pictures that were compared with none have NaN.
func (t Tournament) SoftRewards(kind string) ([]float64, error) {
	n := len(t.Strengths)
	var out []float64
	switch {
	case !slices.Contains(SoftKinds(), kind):
		return nil, fmt.Errorf("vlmjudge: there is no soft reward %q; there are %v", kind, SoftKinds())
	case kind == SoftStrength:
		out = standardised(t.Strengths)
	case n == 1:
		return []float64{1}, nil
	case kind == SoftWinRate && n > 0 && len(t.Matches) == n*(n-1)/2:
		out = make([]float64, n)
		for _, m := range t.Matches {
			out[m.A] += m.LogitMean / float64(n-1)
			out[m.B] += (1 - m.LogitMean) / float64(n-1)
		}
	default:
		out = ExpectedWinRates(t.Strengths)
	}
	for i, met := range t.Met {
		if met == 0 && n > 1 {
			out[i] = math.NaN()
		}
	}
	return out, nil
}

// RankUtility is SoftRank from whole rankings that were sampled, each of all items from best to worst: the mean of u(r).
func RankUtility(items int, rankings [][]int) ([]float64, error) {
	if items < 2 || len(rankings) == 0 {
		return nil, fmt.Errorf("vlmjudge: %d rankings of %d items, want one or more, of two or more", len(rankings), items)
	}
	out := make([]float64, items)
	for r, order := range rankings {
		if err := checkRanking(order, items); err != nil {
			return nil, fmt.Errorf("vlmjudge: ranking %d %w", r, err)
		}
		if len(order) != items {
			return nil, fmt.Errorf("vlmjudge: ranking %d has %d items, want all %d", r, len(order), items)
		}
		for place, i := range order {
			out[i] += (1 - float64(place)/float64(items-1)) / float64(len(rankings))
		}
	}
	return out, nil
}

// standardised has mean 0 and standard deviation 1, or is 0 throughout.
func standardised(v []float64) []float64 {
	mean, square := 0., 0.
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		square += (x - mean) * (x - mean) / float64(len(v))
	}
	out := make([]float64, len(v))
	if deviation := math.Sqrt(square); deviation > 1e-12 {
		for i, x := range v {
			out[i] = (x - mean) / deviation
		}
	}
	return out
}
