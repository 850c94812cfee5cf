package vlmjudge

import (
	"cmp"
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/integrate/quad"
)

// activeSpread is the standard deviation of strengths that active selection expects before it knows anything.
const activeSpread = 2

// active asks about the pairs whose answers would tell most of the strengths, a batch of disjoint pairs at a time: the expected information
// under the Bradley-Terry model with a normal posterior (Houlsby, Huszár, Ghahramani, Lengyel, "Bayesian Active Learning for Classification
// and Preference Learning", arXiv 1112.5745). It ends with the budget, or, where there is none, after as many comparisons as Swiss needs;
// and when all neighbours are apart.
func active(ctx context.Context, c *contest) error {
	limit := c.n * (c.n - 1) / 2
	if c.o.Calls == 0 {
		limit = c.n / 2 * swissRounds(c.n, &c.o)
	}
	for {
		s, err := BradleyTerryPrior(halfWins(c.wins, c.ties), activeSpread)
		if err != nil {
			return err
		}
		order, err := c.order()
		if err != nil {
			return err
		}
		left := limit - len(c.t.Matches) - c.t.Failed
		batch := c.informative(s)
		if left < 1 || len(batch) == 0 || separated(s, order) {
			return nil
		}
		if err := c.compare(ctx, batch[:min(left, len(batch))]...); err != nil {
			return err
		}
	}
}

// halfWins are wins with ties as half a win each.
func halfWins(wins, ties [][]float64) [][]float64 {
	sum := square[float64](len(wins))
	for i, row := range wins {
		for j, w := range row {
			sum[i][j] = w + ties[i][j]/2
		}
	}
	return sum
}

// informative are pairs not asked yet, each item in one of them at most, those that tell most first.
func (c *contest) informative(s Strengths) (batch [][2]int) {
	type choice struct {
		pair  [2]int
		worth float64
	}
	var all []choice
	for b := range c.n {
		for a := range b {
			i, j := c.start[a], c.start[b]
			if !c.asked[i][j] {
				gap, spread := s.Difference(i, j)
				all = append(all, choice{[2]int{i, j}, quantised(information(gap, spread*spread))})
			}
		}
	}
	// Equal ones: the best guesses first, each with its neighbour.
	slices.SortStableFunc(all, func(p, q choice) int {
		return cmp.Or(cmp.Compare(q.worth, p.worth), cmp.Compare(c.place[p.pair[0]], c.place[q.pair[0]]))
	})
	used := make([]bool, c.n)
	for _, v := range all {
		if i, j := v.pair[0], v.pair[1]; !used[i] && !used[j] {
			used[i], used[j] = true, true
			batch = append(batch, v.pair)
		}
	}
	return batch
}

// hermite are nodes and weights of 32 for the mean over a standard normal variable.
var hermite = func() (h struct{ x, w [32]float64 }) {
	quad.Hermite{}.FixedLocations(h.x[:], h.w[:], math.Inf(-1), math.Inf(1))
	for i, x := range h.x {
		h.x[i], h.w[i] = x*math.Sqrt2, h.w[i]/math.Sqrt(math.Pi)
	}
	return h
}()

// information is how much, in nats, one vote on a pair is expected to tell of a difference of strengths ~ N(gap, variance):
// H(E σ) − E H(σ).
func information(gap, variance float64) float64 {
	var p, h float64
	for k, x := range hermite.x {
		v := sigmoid(gap + math.Sqrt(variance)*x)
		p += hermite.w[k] * v
		h += hermite.w[k] * entropy(v)
	}
	return max(0, entropy(p)-h)
}

// entropy of a coin, in nats.
func entropy(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log(p) - (1-p)*math.Log1p(-p)
}
