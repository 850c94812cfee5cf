package vlmjudge

import (
	"context"
	"slices"
)

// insertionSort puts one item after the other into the sorted ones, by bisection. No two comparisons can be asked at once.
func insertionSort(ctx context.Context, c *contest) error {
	var sorted []int
	for _, i := range c.start {
		low, high := 0, len(sorted)
		for low < high {
			middle := (low + high) / 2
			if err := c.compare(ctx, [2]int{i, sorted[middle]}); err != nil {
				return err
			}
			if c.better(i, sorted[middle]) {
				high = middle
			} else {
				low = middle + 1
			}
		}
		sorted = slices.Insert(sorted, low, i)
	}
	return nil
}
