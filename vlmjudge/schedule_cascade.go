package vlmjudge

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
)

// cascade asks only about pairs that Prior leaves open, the most open ones first; of the others, and of those that the budget does not reach,
// the cheaper reward's probability counts as the judge's would.
func cascade(ctx context.Context, c *contest) error {
	if c.o.Prior == nil {
		return errors.New("vlmjudge: the schedule cascade asks about what a cheaper reward leaves open; give its strengths")
	}
	certain := cmp.Or(c.o.Certain, 2)
	gap := func(p [2]int) float64 { return math.Abs(c.o.Prior[p[0]] - c.o.Prior[p[1]]) }
	var open, all [][2]int
	for b := range c.n {
		for a := range b {
			p := [2]int{c.start[a], c.start[b]}
			all = append(all, p)
			if gap(p) < certain {
				open = append(open, p)
			}
		}
	}
	slices.SortStableFunc(open, func(p, q [2]int) int { return cmp.Compare(quantised(gap(p)), quantised(gap(q))) })
	err := c.compare(ctx, open...)
	if err != nil && !errors.Is(err, errSpent) {
		return err
	}
	for _, p := range all {
		if math.IsNaN(c.p[p[0]][p[1]]) {
			won := sigmoid(c.o.Prior[p[0]] - c.o.Prior[p[1]])
			c.wins[p[0]][p[1]] += won
			c.wins[p[1]][p[0]] += 1 - won
			c.lent[p[0]][p[1]], c.lent[p[1]][p[0]] = true, true
			c.t.Borrowed++
		}
	}
	return err
}
