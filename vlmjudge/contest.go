package vlmjudge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// GoneAfter is how many comparisons fail in a row until a judge is taken to be gone.
const GoneAfter = 8

// errSpent ends a schedule; Tournament.Incomplete says why.
var errSpent = errors.New("vlmjudge: the budget is spent")

// contest is a ranking under way. Every question passes through it and is counted.
type contest struct {
	n     int
	by    Comparer
	o     RankOptions
	began time.Time
	rng   *rand.Rand
	start []int // the items as they come, the best guess first
	place []int // of each item in start

	p     [][]float64 // that row is better than column, by the judge; NaN: not known
	asked [][]bool
	lent  [][]bool    // wins are those of Prior
	wins  [][]float64 // fractions, by comparisons, lists and the prior
	ties  [][]float64 // within the tie band
	t     Tournament

	mu    sync.Mutex // of what follows
	inRow int        // failures one after the other
	gone  error      // the last of too many
	limit string     // of the judge that is reached
	last  error      // the last failure
}

func newContest(n int, by Comparer, o RankOptions) *contest {
	c := &contest{n: n, by: by, o: o, began: time.Now(), rng: rand.New(rand.NewPCG(o.Seed, 0)), place: make([]int, n)}
	c.start = c.rng.Perm(n)
	if o.Prior != nil {
		slices.SortStableFunc(c.start, func(a, b int) int { return cmp.Compare(o.Prior[b], o.Prior[a]) })
	}
	for k, i := range c.start {
		c.place[i] = k
	}
	c.lent = square[bool](n)
	c.p, c.wins, c.ties, c.asked = square[float64](n), square[float64](n), square[float64](n), square[bool](n)
	for i := range c.p {
		for j := range c.p {
			c.p[i][j] = math.NaN()
		}
	}
	c.t.Met = make([]int, n)
	return c
}

func square[T any](n int) [][]T {
	m := make([][]T, n)
	for i := range m {
		m[i] = make([]T, n)
	}
	return m
}

// compare asks about pairs, those that were asked before left out. The error is errSpent, or that of the context.
func (c *contest) compare(ctx context.Context, pairs ...[2]int) error {
	var fresh [][2]int
	for _, p := range pairs {
		if !c.asked[p[0]][p[1]] {
			c.asked[p[0]][p[1]], c.asked[p[1]][p[0]] = true, true
			fresh = append(fresh, [2]int{min(p[0], p[1]), max(p[0], p[1])})
		}
	}
	for len(fresh) > 0 {
		some := len(fresh)
		if c.o.Stop != nil {
			some = min(some, max(1, c.o.Concurrency))
		}
		if c.o.Calls > 0 {
			some = min(some, (c.o.Calls-c.t.Calls)/2)
		}
		if err := c.afford(some); err != nil {
			return err
		}
		if err := c.ask(ctx, fresh[:some]); err != nil {
			return err
		}
		if c.isGone() {
			return c.afford(some)
		}
		fresh = fresh[some:]
	}
	return nil
}

// afford is errSpent when no more may be asked.
func (c *contest) afford(some int) error {
	switch {
	case c.gone != nil:
		c.t.Incomplete = fmt.Sprintf("the judge failed %d times in a row: %v", GoneAfter, c.gone)
	case c.limit != "":
		c.t.Incomplete = c.limit
	case some < 1:
		c.t.Incomplete = fmt.Sprintf("the budget of %d questions is spent", c.o.Calls)
	case c.o.Stop != nil:
		c.t.Incomplete = c.o.Stop(Spent{Calls: c.t.Calls, Tokens: c.t.Tokens, Time: time.Since(c.began)})
	}
	if c.t.Incomplete != "" {
		return errSpent
	}
	return nil
}

// ask puts questions about pairs at once, and enters the answers in the order of the pairs.
func (c *contest) ask(ctx context.Context, pairs [][2]int) error {
	answers := make([]*Comparison, len(pairs)) // nil: failed, or not asked any more
	put := make([]bool, len(pairs))
	err := each(ctx, len(pairs), max(1, c.o.Concurrency), func(ctx context.Context, k int) error {
		if c.isGone() {
			return nil
		}
		put[k] = true
		v, err := c.by.Compare(ctx, pairs[k][0], pairs[k][1])
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if c.limited(err) {
			put[k] = false
			return nil
		}
		if err == nil && math.IsNaN(v.LogitMean) {
			err = errors.New("vlmjudge: the comparison has no result")
		}
		if c.heard(err) {
			answers[k] = &v
		}
		return nil
	})
	if err != nil {
		return err
	}
	for k, v := range answers {
		switch {
		case v != nil:
			c.enter(Match{A: pairs[k][0], B: pairs[k][1], Comparison: *v})
		case put[k]:
			c.t.Calls, c.t.Failed = c.t.Calls+2, c.t.Failed+1
		}
	}
	return nil
}

func (c *contest) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone != nil || c.limit != ""
}

// limited notes that the judge is asked no more.
func (c *contest) limited(err error) bool {
	var limit *LimitError
	if !errors.As(err, &limit) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit.Why
	return true
}

// heard notes whether a question was answered.
func (c *contest) heard(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.OnPair != nil {
		c.o.OnPair()
	}
	if err == nil {
		c.inRow = 0
		return true
	}
	c.last = err
	if c.inRow++; c.inRow >= GoneAfter {
		c.gone = err
	}
	return false
}

// enter counts a match.
func (c *contest) enter(m Match) {
	c.t.Calls += 2
	c.t.Tokens = c.t.Tokens.plus(m.AFirst.Tokens).plus(m.BFirst.Tokens)
	c.t.Matches = append(c.t.Matches, m)
	c.t.Met[m.A]++
	c.t.Met[m.B]++
	c.p[m.A][m.B], c.p[m.B][m.A] = m.LogitMean, 1-m.LogitMean
	if c.lent[m.A][m.B] { // the judge knows better
		c.wins[m.A][m.B], c.wins[m.B][m.A] = 0, 0
		c.t.Borrowed--
	}
	if math.Abs(m.LogitMean-.5) < c.o.TieBand {
		c.ties[m.A][m.B]++
		c.ties[m.B][m.A]++
		return
	}
	c.wins[m.A][m.B] += m.LogitMean
	c.wins[m.B][m.A] += 1 - m.LogitMean
}

// better says whether i goes before j: by the judge, or where it did not say, as they came.
func (c *contest) better(i, j int) bool {
	if p := c.p[i][j]; p != .5 && !math.IsNaN(p) {
		return p > .5
	}
	return c.place[i] < c.place[j]
}

// estimate is what is known of the strengths now.
func (c *contest) estimate() (Strengths, error) {
	if c.o.TieBand > 0 {
		tied, err := Davidson(c.wins, c.ties, strengthPrior)
		return tied.Strengths, err
	}
	return BradleyTerryPrior(c.wins, strengthPrior)
}

// even is the resolution of choices between strengths or informations: below it the order of the items decides, so that rounding, which
// depends on how items are numbered, does not.
const even = 1e-7

func quantised(v float64) float64 { return math.Round(v / even) }

// order is the present order of the items, the best first; equal ones as they came.
func (c *contest) order() ([]int, error) {
	s, err := c.estimate()
	if err != nil {
		return nil, err
	}
	order := slices.Clone(c.start)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(quantised(s.Theta[b]), quantised(s.Theta[a])) })
	return order, nil
}

// finish makes the result of what was asked.
func (c *contest) finish(err error) (Tournament, error) {
	if err != nil && !errors.Is(err, errSpent) {
		return Tournament{}, err
	}
	if c.t.Failed > 0 && len(c.t.Matches)+c.t.Lists == 0 {
		return Tournament{}, fmt.Errorf("vlmjudge: all %d comparisons failed; the last error: %w", c.t.Failed, c.last)
	}
	return c.t, c.t.settle(c)
}
