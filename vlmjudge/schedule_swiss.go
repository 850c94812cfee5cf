package vlmjudge

import (
	"context"
	"slices"
)

func swissRounds(n int, o *RankOptions) int {
	most := n - 1 // rounds without a pair twice
	if n%2 == 1 {
		most = n
	}
	if o.Rounds > 0 {
		return min(o.Rounds, most)
	}
	return min(log2(n)+1, most)
}

// swiss lets neighbours of the present order meet that have not met, round after round. Of an odd number, the last one that sat out least
// often sits out.
func swiss(ctx context.Context, c *contest) error {
	sat := make([]int, c.n)
	for range swissRounds(c.n, &c.o) {
		order, err := c.order()
		if err != nil {
			return err
		}
		if c.n%2 == 1 {
			out := len(order) - 1
			for k := range slices.Backward(order) {
				if sat[order[k]] < sat[order[out]] {
					out = k
				}
			}
			sat[order[out]]++
			order = slices.Delete(order, out, out+1)
		}
		if err := c.compare(ctx, pairUp(order, c.asked)...); err != nil {
			return err
		}
	}
	return nil
}

// pairUp pairs an even number of items that have not met, each with the nearest one in the order for which the rest can be paired, too.
// The search for that is bounded; beyond, pairs that have met stay out.
func pairUp(order []int, met [][]bool) [][2]int {
	steps := 20_000
	var search func(free []int, strict bool) ([][2]int, bool)
	search = func(free []int, strict bool) ([][2]int, bool) {
		if len(free) < 2 {
			return nil, true
		}
		for k := 1; k < len(free); k++ {
			if steps--; met[free[0]][free[k]] || strict && steps < 0 {
				continue
			}
			rest := slices.Concat(free[1:k], free[k+1:])
			if pairs, ok := search(rest, strict); ok {
				return append([][2]int{{free[0], free[k]}}, pairs...), true
			}
		}
		if strict {
			return nil, false
		}
		return search(free[1:], false) // without a partner
	}
	if pairs, ok := search(order, true); ok {
		return pairs
	}
	pairs, _ := search(order, false)
	return pairs
}
