package vlmjudge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// windowPasses is how often windows go over all items: twice brings the best four of a window of four to the front.
const windowPasses = 2

func windowOf(n int, o *RankOptions) (size, stride int) {
	size = min(cmp.Or(o.Window, 4), n)
	return size, max(1, size/2)
}

// windowPairs is what windows need at most where the judge orders no lists: the half of a window that was in the one before has met.
func windowPairs(n int, o *RankOptions) int {
	size, stride := windowOf(n, o)
	if n < 2 {
		return 0
	}
	steps := (n - size + stride - 1) / stride
	return min(n*(n-1)/2, windowPasses*(steps+1)*size*(size-1)/2)
}

// windows orders some neighbours at a time, from the last ones to the first with half of them in common, twice: good items rise from
// anywhere. A judge that orders lists is asked one question a window, others about every pair in it.
func windows(ctx context.Context, c *contest) error {
	order := slices.Clone(c.start)
	size, stride := windowOf(c.n, &c.o)
	lister, lists := c.by.(Lister)
	for range windowPasses {
		for low := c.n - size; ; low = max(0, low-stride) {
			window := order[low : low+size]
			var err error
			if lists {
				err = c.list(ctx, lister, window)
			} else {
				err = c.bout(ctx, window)
			}
			if err != nil {
				return err
			}
			if low == 0 {
				break
			}
		}
	}
	return nil
}

// bout compares every pair of a window and orders it by the wins in it.
func (c *contest) bout(ctx context.Context, window []int) error {
	var pairs [][2]int
	for a := range window {
		for b := range a {
			pairs = append(pairs, [2]int{window[b], window[a]})
		}
	}
	if err := c.compare(ctx, pairs...); err != nil {
		return err
	}
	won := map[int]float64{}
	for _, p := range pairs {
		if v := c.p[p[0]][p[1]]; !math.IsNaN(v) {
			won[p[0]] += v
			won[p[1]] += 1 - v
		}
	}
	slices.SortStableFunc(window, func(a, b int) int { return cmp.Compare(quantised(won[b]), quantised(won[a])) })
	return nil
}

// list lets the judge order a window. Each item has won against those behind it: for Plackett-Luce's model, of which Bradley-Terry's is that
// of two items, such pairs give the right strengths (Azari Soufiani, Parkes and Xia, "Computing parametric ranking models via rank-breaking",
// 2014). An answer that is no order of the window tells nothing.
func (c *contest) list(ctx context.Context, by Lister, window []int) error {
	affordable := 1
	if c.o.Calls > 0 {
		affordable = c.o.Calls - c.t.Calls
	}
	if err := c.afford(affordable); err != nil {
		return err
	}
	shown := slices.Clone(window)
	c.rng.Shuffle(len(shown), func(i, j int) { shown[i], shown[j] = shown[j], shown[i] })
	ranking, err := by.List(ctx, shown)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = orderOf(ranking, window)
	}
	c.t.Calls++
	if !c.heard(err) {
		c.t.Failed++
		return nil
	}
	c.t.Lists++
	for k, i := range ranking {
		c.t.Met[i]++
		for _, j := range ranking[k+1:] {
			c.wins[i][j]++
			c.asked[i][j], c.asked[j][i] = true, true
		}
	}
	copy(window, ranking)
	return nil
}

func orderOf(ranking, items []int) error {
	a, b := slices.Sorted(slices.Values(ranking)), slices.Sorted(slices.Values(items))
	if !slices.Equal(a, b) {
		return errors.New(fmt.Sprint("vlmjudge: the answer ", ranking, " is no order of ", items))
	}
	return nil
}
