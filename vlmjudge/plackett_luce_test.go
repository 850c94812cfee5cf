package vlmjudge

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func TestPlackettLuceGolden(t *testing.T) {
	five := [][]int{{0, 1, 2, 3}, {1, 0, 2, 3}, {0, 2, 1, 3}, {3, 0, 1, 2}, {2, 1, 0, 3}}
	for _, c := range []struct {
		name     string
		items    int
		rankings [][]int
		pseudo   float64
		theta    []float64
	}{
		{"five rankings", 4, five, 0, []float64{.959687, .564871, -.007732, -1.516826}},
		{"all orders of three", 3, [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}, 0, []float64{0, 0, 0}},
		{"a pair", 2, [][]int{{0, 1}, {0, 1}, {0, 1}, {1, 0}}, 0, []float64{math.Log(3) / 2, -math.Log(3) / 2}},
		{"a pair, pseudo-wins", 2, [][]int{{0, 1}}, .5, []float64{.549306, -.549306}},
	} {
		theta, err := PlackettLuce(c.items, c.rankings, c.pseudo)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		nearAll(t, c.name, theta, c.theta, 5.1e-7)
	}
}

// TestPlackettLuceOfPairs: rankings of two items are Bradley–Terry's comparisons.
func TestPlackettLuceOfPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 20 {
		n := 2 + rng.IntN(7)
		wins, rankings := make([][]float64, n), [][]int(nil)
		for i := range wins {
			wins[i] = make([]float64, n)
		}
		for i := range n {
			for j := range n {
				for range rng.IntN(4) {
					if i != j {
						wins[i][j]++
						rankings = append(rankings, []int{i, j})
					}
				}
			}
		}
		want, errWant := BradleyTerry(wins, .5)
		got, err := PlackettLuce(n, rankings, .5)
		if (err == nil) != (errWant == nil) {
			t.Fatalf("%v: errors %v and %v", wins, err, errWant)
		}
		nearAll(t, "pairs", got, want, 1e-8)
	}
}

// TestPlackettLuceRecovers draws partial rankings (four of seven items) from known strengths, and asks the same of the
// items under other numbers.
func TestPlackettLuceRecovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 9))
	truth := []float64{1.5, 1, .5, 0, -.5, -1, -1.5}
	order := rng.Perm(len(truth))
	var rankings, moved [][]int
	for range 3000 {
		left := rng.Perm(len(truth))[:4]
		var ranking, renamed []int
		for len(left) > 0 {
			best, top := 0, math.Inf(-1)
			for k, i := range left { // the largest of strength + Gumbel noise is a draw by shares of e^strength
				if v := truth[i] - math.Log(rng.ExpFloat64()); v > top {
					best, top = k, v
				}
			}
			ranking, renamed = append(ranking, left[best]), append(renamed, order[left[best]])
			left = append(left[:best:best], left[best+1:]...)
		}
		rankings, moved = append(rankings, ranking), append(moved, renamed)
	}
	theta, err := PlackettLuce(len(truth), rankings, 0)
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "strengths", theta, truth, .12)
	other, err := PlackettLuce(len(truth), moved, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range truth {
		near(t, "renamed", other[order[i]], theta[i], 1e-9)
	}
}

func TestPlackettLuceErrors(t *testing.T) {
	for _, c := range []struct {
		name     string
		items    int
		rankings [][]int
		pseudo   float64
		cause    error
	}{
		{"always first", 3, [][]int{{0, 1, 2}, {0, 2, 1}}, 0, ErrUnbounded},
		{"never ranked", 3, [][]int{{0, 1}, {1, 0}}, .5, ErrDisconnected},
		{"no ranking", 2, nil, .5, ErrDisconnected},
		{"one item ranked", 2, [][]int{{0}}, .5, nil},
		{"an item twice", 2, [][]int{{0, 0}}, .5, nil},
		{"an unknown item", 2, [][]int{{0, 2}}, .5, nil},
		{"a negative item", 2, [][]int{{0, -1}}, .5, nil},
		{"negative items", -1, nil, 0, nil},
		{"negative pseudo-wins", 2, [][]int{{0, 1}}, -1, nil},
	} {
		theta, err := PlackettLuce(c.items, c.rankings, c.pseudo)
		if err == nil || theta != nil || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: strengths %v, error %v, want error %v", c.name, theta, err, c.cause)
		}
	}
}
