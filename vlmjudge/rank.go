package vlmjudge

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Comparer compares two items, by their numbers. A comparison whose LogitMean is NaN, and one that fails, tells nothing: the schedule
// goes on without it.
type Comparer interface {
	Compare(ctx context.Context, a, b int) (Comparison, error)
}

// Lister is a Comparer that can also order several items in one question, best first. The items come in random order.
type Lister interface {
	Comparer
	List(ctx context.Context, items []int) (ranking []int, err error)
}

// CompareFunc is a Comparer.
type CompareFunc func(ctx context.Context, a, b int) (Comparison, error)

// Compare calls f.
func (f CompareFunc) Compare(ctx context.Context, a, b int) (Comparison, error) { return f(ctx, a, b) }

// SoftComparison is the comparison of a judge without position bias that prefers the first item with probability p. NaN is no answer.
func SoftComparison(p float64, protocol Protocol) Comparison {
	answer := func(p float64) Answer { return Answer{P: p, Raw: p, Mass: 1, Protocol: protocol} }
	return Comparison{Swapped: Swap(p, 1-p), AFirst: answer(p), BFirst: answer(1 - p), Protocol: protocol}
}

// RankOptions says how a ranking asks. The zero value compares every pair of few items, and chooses pairs of many.
type RankOptions struct {
	// Schedule is a name of Schedules; "" is all pairs up to six items, and what [DefaultSchedule] says beyond.
	Schedule string
	// Calls is how many questions may be asked: two a comparison, one a list. 0: no limit. Pairs that can no longer be asked are
	// left out, and the result says so.
	Calls int
	// Spend asks on by the schedule Active when another one ends before Calls are spent.
	Spend bool
	// Stop is asked before questions are put, at most Concurrency comparisons at once; a reason ends the ranking with what is known.
	// It is for budgets in tokens, money or time.
	Stop func(Spent) (reason string)
	// Seed puts the items into the order in which they come, where Prior does not.
	Seed uint64
	// Prior is what a cheaper reward makes of the items, in natural-log units: σ of a difference is its probability. Schedules then
	// start from that order, and the schedule Cascade asks about what it leaves open. nil: nothing is known.
	Prior []float64
	// Certain is the difference of Prior from which the schedule Cascade believes it. 0: 2, a probability of 0.88.
	Certain float64
	// Rounds of the schedule Swiss. 0: one more than the logarithm to base 2 of the number of items.
	Rounds int
	// Window is how many items the schedule Windows orders at a time. 0: 4.
	Window int
	// TieBand is the distance from ½ within which a probability is a tie, of which the strengths are [Davidson]'s. 0: there are no
	// ties, and a probability near ½ is one nearly half won.
	TieBand float64
	// Concurrency is the number of comparisons at once. 0: as many as the judge allows, or one.
	Concurrency int
	// OnPair, where given, is called after each comparison, by one goroutine at a time.
	OnPair func()
}

// Spent is what a ranking has cost so far.
type Spent struct {
	Calls    int // questions; of a judge, requests
	Tokens   Tokens
	Time     time.Duration
	Recalled int     // of a judge: answers that a Store had
	Money    float64 // of a judge: by the prices of its Limits
}

// The schedules. Counts of comparisons are for n items; see [MaxPairs].
const (
	AllPairs  = "all"       // every pair: n(n−1)/2
	Merge     = "merge"     // merge sort: at most n⌈log₂n⌉ − 2^⌈log₂n⌉ + 1
	Insertion = "insertion" // binary insertion sort: as many at most, fewer at once
	Swiss     = "swiss"     // neighbours of the present order meet, round after round: ⌊n/2⌋(⌈log₂n⌉+1)
	Knockout  = "knockout"  // losers are out, those of the semifinals meet: n, for the best only
	Windows   = "windows"   // four items at a time, from the last to the first and once again: for the best few
	Cascade   = "cascade"   // pairs about which Prior is not certain
	Active    = "active"    // the pairs whose answers tell most: as many as Swiss, or the budget
)

// schedule is a way to choose what is compared.
type schedule struct {
	name string
	run  func(ctx context.Context, c *contest) error
	// most is the number of comparisons that it may need at most.
	most func(n int, o *RankOptions) int
}

func schedules() []schedule {
	every := func(n int, _ *RankOptions) int { return n * (n - 1) / 2 }
	return []schedule{
		{AllPairs, allPairs, every},
		{Merge, mergeSort, func(n int, _ *RankOptions) int { return n*log2(n) - 1<<log2(n) + 1 }},
		{Insertion, insertionSort, func(n int, _ *RankOptions) int { return n*log2(n) - 1<<log2(n) + 1 }},
		{Swiss, swiss, func(n int, o *RankOptions) int { return n / 2 * swissRounds(n, o) }},
		{Knockout, knockout, func(n int, _ *RankOptions) int {
			if n < 4 {
				return max(n-1, 0)
			}
			return n
		}},
		{Windows, windows, windowPairs},
		{Cascade, cascade, every},
		{Active, active, func(n int, o *RankOptions) int {
			if o.Calls > 0 {
				return every(n, o)
			}
			return n / 2 * swissRounds(n, o)
		}},
	}
}

// Schedules are the names of the schedules.
func Schedules() []string {
	var names []string
	for _, s := range schedules() {
		names = append(names, s.name)
	}
	return names
}

// DefaultSchedule is the schedule that "" stands for: all pairs of up to six items, or of as many as the budget in calls covers; else Swiss
// without a budget, and Active with one.
func DefaultSchedule(n, calls int) string {
	switch {
	case n <= 6 && calls == 0, calls >= n*(n-1):
		return AllPairs
	case calls == 0:
		return Swiss
	}
	return Active
}

// MaxPairs is the number of comparisons that a schedule may need at most for n items.
func MaxPairs(n int, o RankOptions) (int, error) {
	s, err := o.find(n)
	if err != nil {
		return 0, err
	}
	pairs := min(s.most(n, &o), n*(n-1)/2)
	if o.Calls > 0 {
		if o.Spend {
			pairs = n * (n - 1) / 2
		}
		pairs = min(pairs, o.Calls/2)
	}
	return pairs, nil
}

func (o *RankOptions) find(n int) (schedule, error) {
	name := o.Schedule
	if name == "" {
		name = DefaultSchedule(n, o.Calls)
	}
	all := schedules()
	if i := slices.IndexFunc(all, func(s schedule) bool { return s.name == name }); i >= 0 {
		return all[i], nil
	}
	return schedule{}, fmt.Errorf("vlmjudge: no schedule is called %q; there are %s", name, strings.Join(Schedules(), ", "))
}

// Check says what Rank would refuse, whatever the items.
func (o *RankOptions) Check() error {
	switch {
	case o.Calls < 0 || o.Calls == 1:
		return fmt.Errorf("vlmjudge: a budget of %d questions; a comparison takes two", o.Calls)
	case o.Rounds < 0 || o.Window < 0 || o.Window == 1 || o.Concurrency < 0:
		return fmt.Errorf("vlmjudge: %d rounds, windows of %d, %d comparisons at once; 0 takes the default, and a window has two items at least",
			o.Rounds, o.Window, o.Concurrency)
	case !(o.TieBand >= 0 && o.TieBand < .5):
		return fmt.Errorf("vlmjudge: ties within %v of ½; want 0 or more, below ½", o.TieBand)
	case !(o.Certain >= 0):
		return fmt.Errorf("vlmjudge: certain from a difference of %v; want 0 or more", o.Certain)
	}
	_, err := o.find(0)
	return err
}

func (o *RankOptions) check(n int) error {
	if err := o.Check(); err != nil {
		return err
	}
	if o.Prior != nil && len(o.Prior) != n {
		return fmt.Errorf("vlmjudge: %d strengths known before of %d items", len(o.Prior), n)
	}
	for i, v := range o.Prior {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("vlmjudge: the strength known before of item %d is %v", i, v)
		}
	}
	return nil
}

// Rank compares n items by a schedule. The order is that of Tournament.Strengths, whatever the schedule: a sort that one wrong answer led
// astray may still be put right by the others. The same answers, options and seed give the same result, with any concurrency.
//
// What the budget cuts short is no error: Tournament.Incomplete says why, and Met what is known of each item. It is an error when every
// comparison failed or the context ends; a judge that fails [GoneAfter] times in a row is asked no more.
func Rank(ctx context.Context, n int, by Comparer, o RankOptions) (Tournament, error) {
	if n < 0 {
		return Tournament{}, fmt.Errorf("vlmjudge: %d items to rank", n)
	}
	if err := o.check(n); err != nil {
		return Tournament{}, err
	}
	s, err := o.find(n)
	if err != nil {
		return Tournament{}, err
	}
	c := newContest(n, by, o)
	c.t.Schedule = s.name
	if n > 1 {
		err = s.run(ctx, c)
		if err == nil && o.Spend && o.Calls > 0 {
			err = active(ctx, c)
		}
	}
	return c.finish(err)
}

// log2 is the logarithm to base 2, rounded up; 0 for n < 2.
func log2(n int) int {
	k := 0
	for 1<<k < n {
		k++
	}
	return k
}
