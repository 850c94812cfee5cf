package vlmjudge

import "context"

// allPairs compares every pair, in the rounds of a round robin: a budget that ends early leaves each item with about the same number of
// comparisons.
func allPairs(ctx context.Context, c *contest) error {
	var pairs [][2]int
	seats := c.n + c.n%2 // an odd item has nobody across
	for round := range seats - 1 {
		// The last seat stays, the others move on by one.
		at := func(k int) int {
			if k == seats-1 {
				return k
			}
			return (k + round) % (seats - 1)
		}
		for k := range seats / 2 {
			i, j := at(k), at(seats-1-k)
			if i < c.n && j < c.n {
				pairs = append(pairs, [2]int{c.start[i], c.start[j]})
			}
		}
	}
	return c.compare(ctx, pairs...)
}
