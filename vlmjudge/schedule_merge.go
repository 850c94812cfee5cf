package vlmjudge

import (
	"context"
	"slices"
)

// mergeSort sorts by merging halves. Merges of one depth do not depend on each other: their next comparisons are asked together. Halves are
// as equal as they can be, which runs of powers of two are not: nine items need 21 comparisons at most, by runs of 8 and 1 they may need 25.
func mergeSort(ctx context.Context, c *contest) error {
	runs := map[[2]int][]int{} // sorted parts of start, by their bounds
	levels := halves(0, c.n, 0, nil)
	for _, level := range slices.Backward(levels) {
		var merges []*merging
		for _, part := range level {
			if part[1]-part[0] < 2 {
				runs[part] = c.start[part[0]:part[1]]
				continue
			}
			middle := (part[0] + part[1]) / 2
			merges = append(merges, &merging{part: part, a: runs[[2]int{part[0], middle}], b: runs[[2]int{middle, part[1]}]})
		}
		if err := c.mergeAll(ctx, merges); err != nil {
			return err
		}
		for _, m := range merges {
			runs[m.part] = m.out
		}
	}
	return nil
}

// halves lists the parts from..to that a merge sort divides into, by depth.
func halves(from, to, depth int, levels [][][2]int) [][][2]int {
	if depth == len(levels) {
		levels = append(levels, nil)
	}
	levels[depth] = append(levels[depth], [2]int{from, to})
	if to-from > 1 {
		middle := (from + to) / 2
		levels = halves(from, middle, depth+1, levels)
		levels = halves(middle, to, depth+1, levels)
	}
	return levels
}

// merging is two sorted runs on the way to one.
type merging struct {
	part      [2]int
	a, b, out []int
}

func (c *contest) mergeAll(ctx context.Context, merges []*merging) error {
	for {
		var pairs [][2]int
		for _, m := range merges {
			if len(m.a) > 0 && len(m.b) > 0 {
				pairs = append(pairs, [2]int{m.a[0], m.b[0]})
			}
		}
		if len(pairs) == 0 {
			break
		}
		if err := c.compare(ctx, pairs...); err != nil {
			return err
		}
		for _, m := range merges {
			switch {
			case len(m.a) == 0 || len(m.b) == 0:
			case c.better(m.a[0], m.b[0]):
				m.out, m.a = append(m.out, m.a[0]), m.a[1:]
			default:
				m.out, m.b = append(m.out, m.b[0]), m.b[1:]
			}
		}
	}
	for _, m := range merges {
		m.out = slices.Concat(m.out, m.a, m.b)
	}
	return nil
}
