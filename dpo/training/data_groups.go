package training

import (
	"iter"
	"math"
	"slices"

	"winnow/datasets"
)

// pairs are the comparisons of a row that are learnt from. A loss that ranks all pictures of a prompt sees each picture once.
func (l *loader) pairs(rec *datasets.Record) iter.Seq[datasets.Pair] {
	if l.t.loss.Groups && rec.Kind == datasets.KindGroup {
		return l.ranked(rec)
	}
	if !l.t.method.Rejected && len(rec.Images) == 1 { // a picture alone is one to learn
		return func(yield func(datasets.Pair) bool) { yield(datasets.Pair{Label: 1, Soft: 1}) }
	}
	return rec.Pairs()
}

// ranked pairs the pictures of a ranking: the best with the worst, the second with the last but one, and so on. One in the middle is left
// out, and counted; so is one without a rank.
func (l *loader) ranked(rec *datasets.Record) iter.Seq[datasets.Pair] {
	return func(yield func(datasets.Pair) bool) {
		var order []int
		for i, r := range rec.Rank {
			if !math.IsNaN(r) {
				order = append(order, i)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case rec.Rank[a] < rec.Rank[b]:
				return -1
			case rec.Rank[a] > rec.Rank[b]:
				return 1
			}
			return 0
		})
		if len(order)%2 == 1 && len(order) > 1 {
			l.data.Middle++
		}
		for k := range len(order) / 2 {
			a, b := order[k], order[len(order)-1-k]
			label := datasets.CompareRanks(rec.Rank[a], rec.Rank[b])
			if !yield(datasets.Pair{A: a, B: b, Label: label, Soft: label}) {
				return
			}
		}
	}
}
