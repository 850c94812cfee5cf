package vlmjudge

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Game is one comparison of items A and B. Score is A's part of the win: 1, 0, ½ for a tie, or a judge's probability.
type Game struct {
	A, B  int
	Score float64
}

// EloExpected is the score that a rating a should reach against b: 1/(1+10^((b−a)/400)).
func EloExpected(a, b float64) float64 { return 1 / (1 + math.Pow(10, (b-a)/400)) }

// Elo rates items from games in their order, each item starting at start, each game moving both ratings by
// k·(score − expected); 1500 and 32 are usual. Ratings are in Elo points (400 points are odds of ten to one) and keep
// their sum. The result depends on the order of the games: for a final ranking take [BradleyTerry], or [EloShuffled].
// (A. E. Elo, The Rating of Chessplayers, Past and Present, 1978, section 1.6.)
func Elo(items int, games []Game, start, k float64) ([]float64, error) {
	if items < 0 {
		return nil, fmt.Errorf("vlmjudge: %d items to rate", items)
	}
	for g, game := range games {
		if err := game.check(items); err != nil {
			return nil, fmt.Errorf("vlmjudge: game %d: %w", g, err)
		}
	}
	ratings := make([]float64, items)
	for i := range ratings {
		ratings[i] = start
	}
	for _, g := range games {
		move := k * (g.Score - EloExpected(ratings[g.A], ratings[g.B]))
		ratings[g.A] += move
		ratings[g.B] -= move
	}
	return ratings, nil
}

// EloShuffled is the mean of [Elo] over a number of random orders of the games, the same ones for the same seed.
func EloShuffled(items int, games []Game, start, k float64, orders int, seed uint64) ([]float64, error) {
	if orders < 1 {
		return nil, fmt.Errorf("vlmjudge: Elo over %d orders, want one or more", orders)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	shuffled := append([]Game(nil), games...)
	var mean []float64
	for n := range orders {
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		ratings, err := Elo(items, shuffled, start, k)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			mean = make([]float64, items)
		}
		for i, r := range ratings {
			mean[i] += r / float64(orders)
		}
	}
	return mean, nil
}

func (g Game) check(items int) error {
	switch {
	case g.A < 0 || g.A >= items || g.B < 0 || g.B >= items:
		return fmt.Errorf("items %d and %d, want 0 to %d", g.A, g.B, items-1)
	case g.A == g.B:
		return fmt.Errorf("item %d against itself", g.A)
	case !(g.Score >= 0 && g.Score <= 1):
		return fmt.Errorf("score %v, want 0 to 1", g.Score)
	}
	return nil
}
