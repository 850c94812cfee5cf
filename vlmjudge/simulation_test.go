package vlmjudge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// simulated is a judge of n items: its probability for the picture shown first has a position bias and lapses.
type simulated struct {
	truth []float64
	rng   *rand.Rand
}

func newSimulated(rng *rand.Rand, n int) simulated {
	truth := make([]float64, n)
	for i := range truth {
		truth[i] = 1.5 * rng.NormFloat64()
	}
	return simulated{truth, rng}
}

// first is P(i is better | i shown first): bias .5 in log-odds, lapses of 5 in 100.
func (s simulated) first(i, j int) float64 {
	const bias, lapse = .5, .05
	return sigmoid(s.truth[i]-s.truth[j]+bias)*(1-lapse) + lapse/2
}

// ask compares i and j, i shown first, then in the other order, too, if orders is 2: by the judge's probabilities
// (votes 0) or by that many sampled votes per order.
func (s simulated) ask(wins [][]float64, i, j, votes, orders int) {
	for _, o := range [][2]int{{i, j}, {j, i}}[:orders] {
		p := s.first(o[0], o[1])
		if votes > 0 {
			hits := 0
			for range votes {
				if s.rng.Float64() < p {
					hits++
				}
			}
			p = float64(hits) / float64(votes)
		}
		wins[o[0]][o[1]] += p
		wins[o[1]][o[0]] += 1 - p
	}
}

// swiss pairs neighbours of the present ranking that have not met, for a number of rounds.
func (s simulated) swiss(t *testing.T, rounds, votes int) [][]float64 {
	n := len(s.truth)
	wins := make([][]float64, n)
	for i := range wins {
		wins[i] = make([]float64, n)
	}
	order := s.rng.Perm(n)
	for range rounds {
		free := slices.Clone(order)
		for len(free) > 1 {
			i, k := free[0], 1
			for k < len(free)-1 && wins[i][free[k]]+wins[free[k]][i] > 0 {
				k++
			}
			s.ask(wins, i, free[k], votes, 2)
			free = slices.Delete(free, k, k+1)[1:]
		}
		theta, err := BradleyTerryPrior(wins, 10) // a round may leave the items in several groups
		if err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if theta.Theta[a] > theta.Theta[b] {
				return -1
			}
			return 1
		})
	}
	return wins
}

func (s simulated) roundRobin(votes, orders int) [][]float64 {
	wins := make([][]float64, len(s.truth))
	for i := range wins {
		wins[i] = make([]float64, len(s.truth))
	}
	for i := range wins {
		for j := range i {
			s.ask(wins, i, j, votes, orders)
		}
	}
	return wins
}

// tau is Kendall's correlation of two score lists; equal scores count neither way.
func tau(a, b []float64) float64 {
	var sum, pairs float64
	for i := range a {
		for j := range i {
			sum += sign(a[i]-a[j]) * sign(b[i]-b[j])
			pairs++
		}
	}
	return sum / pairs
}

func sign(x float64) float64 {
	if x == 0 {
		return 0
	}
	return math.Copysign(1, x)
}

// TestSimulatedJudge is the numeric case for soft rewards: of eight items, the judge's probabilities order them better
// than sampled votes do, and 16 soft pairs (four Swiss rounds) better than 28 pairs of four votes.
func TestSimulatedJudge(t *testing.T) {
	for _, c := range []struct {
		name          string
		votes, orders int
		swiss         bool
		want          float64
	}{
		{"soft", 0, 2, false, 1.000},
		{"one vote, one order", 1, 1, false, .633},
		{"four votes", 4, 2, false, .865},
		{"soft, Swiss", 0, 2, true, .970},
		{"one vote, Swiss", 1, 2, true, .637},
		{"four votes, Swiss", 4, 2, true, .830},
	} {
		near(t, c.name, meanTau(t, c.votes, c.orders, c.swiss), c.want, .04)
	}
	for _, c := range readAggregation(t).Simulated {
		near(t, fmt.Sprintf("oracle, %d votes, %d orders", c.Votes, c.Orders), meanTau(t, c.Votes, c.Orders, false), c.Tau, .04)
	}
}

func meanTau(t *testing.T, votes, orders int, swiss bool) float64 {
	t.Helper()
	const trials = 250
	rng, sum := rand.New(rand.NewPCG(11, 12)), 0.0
	for range trials {
		s := newSimulated(rng, 8)
		var wins [][]float64
		if swiss {
			wins = s.swiss(t, 4, votes)
		} else {
			wins = s.roundRobin(votes, orders)
		}
		theta, err := BradleyTerry(wins, .5)
		if err != nil {
			t.Fatal(err)
		}
		sum += tau(theta, s.truth)
	}
	return sum / trials
}
