package vlmjudge

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAggregate(t *testing.T) {
	for _, c := range []struct {
		name             string
		wins             [][]float64
		copeland, borda  []float64
		cyclic, compared int
	}{
		{"four items", fourItems, []float64{3, 2, 1, 0}, []float64{(.75 + 8./9 + 4/4.2) / 3, (.25 + 2.5/4 + 4/4.6) / 3, (.5/4.5 + 1.5/4 + 2./3) / 3, (.2/4.2 + .6/4.6 + 1./3) / 3}, 0, 4},
		{"rock, paper, scissors", [][]float64{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}, []float64{1, 1, 1}, []float64{.5, .5, .5}, 1, 1},
		{"a tie", [][]float64{{0, .5}, {.5, 0}}, []float64{.5, .5}, []float64{.5, .5}, 0, 0},
		{"an item never compared", [][]float64{{0, .8, 0}, {.2, 0, 0}, {0, 0, 0}}, []float64{1, 0, 0}, []float64{.8, .2, .5}, 0, 0},
		{"one item", [][]float64{{0}}, []float64{0}, []float64{.5}, 0, 0},
		{"no item", nil, nil, nil, 0, 0},
	} {
		copeland, err := Copeland(c.wins)
		if err != nil {
			t.Fatal(err)
		}
		borda, err := Borda(c.wins)
		if err != nil {
			t.Fatal(err)
		}
		cyclic, compared, err := CyclicTriples(c.wins)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, c.name+": Copeland", copeland, c.copeland, 0)
		nearAll(t, c.name+": Borda", borda, c.borda, 1e-12)
		if cyclic != c.cyclic || compared != c.compared {
			t.Errorf("%s: %d of %d triples cyclic, want %d of %d", c.name, cyclic, compared, c.cyclic, c.compared)
		}
	}
	bad := [][]float64{{0, math.NaN()}, {0, 0}}
	_, errC := Copeland(bad)
	_, errB := Borda(bad)
	_, _, errT := CyclicTriples(bad)
	if errC == nil || errB == nil || errT == nil {
		t.Errorf("NaN wins: errors %v, %v, %v", errC, errB, errT)
	}
}

// TestCyclicTriplesCount holds the count against Kendall and Babington Smith's formula for a full tournament,
// C(n,3) − Σ s(s−1)/2 with s an item's number of wins (Biometrika 31 (1940), 324), and against the quarter that coins give.
func TestCyclicTriplesCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 9))
	var cycles, triples int
	for range 200 {
		const n = 9
		wins := make([][]float64, n)
		for i := range wins {
			wins[i] = make([]float64, n)
		}
		score := make([]int, n)
		for i := range n {
			for j := range i {
				w, l := i, j
				if rng.IntN(2) == 0 {
					w, l = j, i
				}
				wins[w][l] = 1
				score[w]++
			}
		}
		want := n * (n - 1) * (n - 2) / 6
		for _, s := range score {
			want -= s * (s - 1) / 2
		}
		cyclic, compared, err := CyclicTriples(wins)
		if err != nil || cyclic != want || compared != 84 {
			t.Fatalf("%d of %d cyclic (error %v), want %d of 84", cyclic, compared, err, want)
		}
		cycles, triples = cycles+cyclic, triples+compared
	}
	near(t, "coins", float64(cycles)/float64(triples), .25, .02)
}

// TestCopelandNames: other numbers for the items permute the scores, and fair shares do not depend on how often was asked.
func TestCopelandNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 9))
	wins, order := randomWins(rng, 7, .6), rng.Perm(7)
	moved := make([][]float64, 7)
	for i := range moved {
		moved[i] = make([]float64, 7)
		for j := range moved {
			moved[i][j] = 5 * wins[order[i]][order[j]]
		}
	}
	c, _ := Copeland(wins)
	b, _ := Borda(wins)
	cm, _ := Copeland(moved)
	bm, _ := Borda(moved)
	for i, from := range order {
		near(t, "Copeland", cm[i], c[from], 0)
		near(t, "Borda", bm[i], b[from], 1e-12)
	}
}
