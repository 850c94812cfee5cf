package vlmjudge

import (
	"fmt"
	"math"
)

// PlackettLuce estimates strengths from whole rankings: the best of a set is item i with probability p_i/Σp, the second
// best is drawn so from the rest, and so on. Each ranking lists items (0 … items−1) from best to worst; it may cover a
// part of the items, two at least, and says nothing about the others. It returns θ = ln p, one per item, with mean 0.
// Rankings of two items give Bradley–Terry's strengths.
//
// pseudo is the weight of two opposite rankings added for every pair of items that was ranked together; with 0, an item
// that was never last, or never first, can give [ErrUnbounded]. Items that no chain of rankings ties together give
// [ErrDisconnected] always.
//
// The iteration is that of D. R. Hunter, "MM algorithms for generalized Bradley–Terry models", Annals of Statistics 32
// (2004), 384, section 5.
func PlackettLuce(items int, rankings [][]int, pseudo float64) (theta []float64, err error) {
	if items < 0 {
		return nil, fmt.Errorf("vlmjudge: %d items to rank", items)
	}
	above := make([][]float64, items) // how often i is ranked above j
	for i := range above {
		above[i] = make([]float64, items)
	}
	weighted := make([]weightedRanking, len(rankings))
	for r, order := range rankings {
		if err := checkRanking(order, items); err != nil {
			return nil, fmt.Errorf("vlmjudge: ranking %d %w", r, err)
		}
		weighted[r] = weightedRanking{order, 1}
		for k, i := range order {
			for _, j := range order[k+1:] {
				above[i][j]++
			}
		}
	}
	sum, err := withPseudo(above, pseudo)
	if err != nil {
		return nil, err
	}
	if err := bounded(items, func(i, j int) bool { return sum[i][j] > 0 }); err != nil {
		return nil, err
	}
	for i := range sum {
		for j := range sum {
			if extra := sum[i][j] - above[i][j]; extra > 0 {
				weighted = append(weighted, weightedRanking{[]int{i, j}, extra})
			}
		}
	}
	return plackettLuce(items, weighted)
}

type weightedRanking struct {
	order  []int
	weight float64
}

func checkRanking(order []int, items int) error {
	if len(order) < 2 {
		return fmt.Errorf("has %d items, want two or more", len(order))
	}
	seen := map[int]bool{}
	for _, i := range order {
		if i < 0 || i >= items {
			return fmt.Errorf("names item %d, want 0 to %d", i, items-1)
		}
		if seen[i] {
			return fmt.Errorf("names item %d twice", i)
		}
		seen[i] = true
	}
	return nil
}

func plackettLuce(items int, rankings []weightedRanking) ([]float64, error) {
	won := make([]float64, items) // stages that the item won: the times it was not last
	for _, r := range rankings {
		for _, i := range r.order[:len(r.order)-1] {
			won[i] += r.weight
		}
	}
	theta := make([]float64, items)
	for range strengthSteps {
		faced := expectedWins(theta, rankings)
		var change float64
		before := append([]float64(nil), theta...)
		for i := range theta {
			if faced[i] > 0 {
				theta[i] += math.Log(won[i] / faced[i])
			}
		}
		centre(theta)
		for i := range theta {
			change = max(change, math.Abs(theta[i]-before[i]))
		}
		if change < strengthTolerance {
			return theta, nil
		}
	}
	return nil, ErrNotConverged
}

// expectedWins is the number of stages that each item should have won: at every stage but the last, each remaining item
// wins with its share of the remaining strength.
func expectedWins(theta []float64, rankings []weightedRanking) []float64 {
	out := make([]float64, len(theta))
	for _, r := range rankings {
		n := len(r.order)
		top := math.Inf(-1)
		for _, i := range r.order {
			top = max(top, theta[i])
		}
		tail := make([]float64, n+1) // strength from a place to the end, relative to the strongest item
		for k := n - 1; k >= 0; k-- {
			tail[k] = tail[k+1] + math.Exp(theta[r.order[k]]-top)
		}
		var stages float64
		for k, i := range r.order {
			if k < n-1 {
				stages += r.weight / tail[k]
			}
			out[i] += stages * math.Exp(theta[i]-top)
		}
	}
	return out
}
