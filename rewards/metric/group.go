package metric

import (
	"fmt"
	"math"
)

// Group is one prompt with several pictures: human ranks (lower is better, equal ranks are ties) and predicted scores
// (higher is better). Votes holds the ranks of single annotators, where a data set has them; NaN is a picture that one did
// not rank.
type Group struct {
	Rank, Score []float64
	Votes       [][]float64
}

// Check requires as many scores as ranks, and numbers only.
func (g *Group) Check() error {
	if len(g.Rank) != len(g.Score) {
		return fmt.Errorf("metric: %d scores for %d ranked pictures", len(g.Score), len(g.Rank))
	}
	for i := range g.Rank {
		if math.IsNaN(g.Rank[i]) || math.IsNaN(g.Score[i]) {
			return fmt.Errorf("metric: picture %d has rank %g and score %g; leave pictures without a number out", i, g.Rank[i], g.Score[i])
		}
	}
	for i, v := range g.Votes {
		if len(v) != len(g.Score) {
			return fmt.Errorf("metric: annotator %d ranked %d of %d pictures", i, len(v), len(g.Score))
		}
	}
	return nil
}

// Count is a number of right answers out of a total; halves count as such.
type Count struct{ Right, Total float64 }

// Share is Right/Total, NaN for an empty total.
func (c Count) Share() float64 { return c.Right / c.Total }

// add counts the pairs of one ranking whose ranks differ. Equal scores are wrong. Pictures that were not ranked or scored, NaN,
// are in no pair.
func (c *Count) add(rank, score []float64) {
	for i := range rank {
		for j := i + 1; j < len(rank); j++ {
			if rank[i] == rank[j] || math.IsNaN(rank[i]-rank[j]) || math.IsNaN(score[i]-score[j]) {
				continue
			}
			c.Total++
			if (rank[i] < rank[j]) == (score[i] > score[j]) && score[i] != score[j] {
				c.Right++
			}
		}
	}
}

// PairMicro is imagereward.pair_micro: over all groups, unordered pairs with different ranks; right when the scores differ
// in the same direction, so equal scores are wrong. On HPDv2 the same figure goes by hpdv2.pair_micro_no_ties.
func PairMicro(groups []Group) Count {
	var c Count
	for i := range groups {
		c.add(groups[i].Rank, groups[i].Score)
	}
	return c
}

// PairMacro is hpsv2.imagereward_macro: the share of PairMicro per group, averaged over groups. Groups without a decided
// pair are left out; the official code would divide by zero there.
func PairMacro(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 { return PairMicro([]Group{*g}).Share() })
}

// RawVotes is hpdv2.raw_votes: as PairMicro, against every annotator of every group.
func RawVotes(groups []Group) Count {
	var c Count
	for i := range groups {
		for _, v := range groups[i].Votes {
			c.add(v, groups[i].Score)
		}
	}
	return c
}

// SingleHuman is hpdv2.single_human, what a person reaches under RawVotes: each annotator's order as the scores, against every
// other annotator of the same group. Pictures that either has not ranked are in no pair.
func SingleHuman(groups []Group) Count {
	var c Count
	for i := range groups {
		for u, person := range groups[i].Votes {
			for v, other := range groups[i].Votes {
				if u != v {
					c.add(other, negated(person))
				}
			}
		}
	}
	return c
}

// Inversion is hpdv2.inversion: per group 1 − inversions/(n(n−1)/2), averaged. Scores become positions without ties (of
// equal scores the earlier picture comes first), and a pair is inverted only when both orders are strict and opposite: so
// tied labels count as right.
func Inversion(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 {
		n, inverted := len(g.Rank), 0
		at := positions(g.Score)
		for i := range n {
			for j := i + 1; j < n; j++ {
				if d := g.Rank[i] - g.Rank[j]; d > 0 && at[i] < at[j] || d < 0 && at[i] > at[j] {
					inverted++
				}
			}
		}
		return 1 - float64(inverted)/(float64(n)*float64(n-1)/2)
	})
}

// BestOfN is best_of_n: the share of groups whose highest score, the first of equal ones, belongs to a picture of the
// lowest rank there is.
func BestOfN(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 {
		if g.Rank[firstMax(g.Score)] == minOf(g.Rank) {
			return 1
		}
		return 0
	})
}

// Top1Soft is top1_soft: as BestOfN, with 1/n credit for each of n equal highest scores.
func Top1Soft(groups []Group) float64 {
	return meanOver(groups, func(g *Group) float64 {
		top, best := g.Score[firstMax(g.Score)], minOf(g.Rank)
		tied, right := 0.0, 0.0
		for i, s := range g.Score {
			if s != top {
				continue
			}
			tied++
			if g.Rank[i] == best {
				right++
			}
		}
		return right / tied
	})
}

// meanOver averages f over the groups with at least one picture, leaving NaN out; NaN when nothing is left.
func meanOver(groups []Group, f func(g *Group) float64) float64 {
	sum, n := 0.0, 0.0
	for i := range groups {
		if len(groups[i].Score) == 0 {
			continue
		}
		if v := f(&groups[i]); !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return sum / n
}

func firstMax(x []float64) int {
	at := 0
	for i, v := range x {
		if v > x[at] {
			at = i
		}
	}
	return at
}

func minOf(x []float64) float64 {
	m := math.Inf(1)
	for _, v := range x {
		m = min(m, v)
	}
	return m
}
