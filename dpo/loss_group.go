package dpo

import (
	"math"
	"slices"
)

// A picture of a group: one side of a pair.
type member struct {
	pair     int
	rejected bool
	reward   float64 // implicit, times beta
	score    float64
}

// groups are the pictures of pairs with the same Terms.Group, in the order of the batch, chosen ones first. Each picture
// stands in one pair only.
func groups(scale float64, terms []Terms) [][]member {
	var out [][]member
	at := map[int]int{}
	for i, t := range terms {
		a, b := t.ImplicitRewards()
		k, ok := at[t.Group]
		if !ok {
			k = len(out)
			at[t.Group] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], member{i, false, scale * a, t.ScoreChosen}, member{i, true, scale * b, t.ScoreRejected})
	}
	return out
}

// groupLoss is a loss of the pictures of a prompt; it writes the derivatives with respect to their rewards into slopes.
type groupLoss func(pictures []member, slopes []float64) float64

// Evaluate implements [Loss]: the mean over groups.
func (l groupLoss) Evaluate(scale float64, terms []Terms, grad []Grad) float64 {
	all := groups(scale, terms)
	n := float64(len(all))
	var mean float64
	for _, g := range all {
		slopes := make([]float64, len(g))
		mean += l(g, slopes) / n
		for k, m := range g {
			if slope := -scale * slopes[k] / n; m.rejected {
				grad[m.pair].Rejected = slope
			} else {
				grad[m.pair] = Grad{Chosen: slope}
			}
		}
	}
	return mean
}

// unscored is what a group without scores has for a loss.
func unscored(pictures []member, slopes []float64) bool {
	if !slices.ContainsFunc(pictures, func(m member) bool { return math.IsNaN(m.score) }) {
		return false
	}
	for k := range slopes {
		slopes[k] = math.NaN()
	}
	return true
}

// softmax writes e^v over their sum into v, and gives the logarithm of the sum. Minus infinity has no share.
func softmax(v []float64) float64 {
	most := slices.Max(v)
	var sum float64
	for i := range v {
		v[i] = math.Exp(v[i] - most)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
	return most + math.Log(sum)
}
