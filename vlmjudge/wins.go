package vlmjudge

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"
)

// ErrDisconnected reports comparisons that do not tie all items together: some strengths have no finite estimate.
var ErrDisconnected = errors.New("vlmjudge: the comparisons do not connect all items")

// ErrUnbounded reports a group of items that never lost to the rest: the estimate of its strength is infinite.
var ErrUnbounded = errors.New("vlmjudge: some items never lose to the others; pass pseudo-wins or a prior")

// checkWins says why a matrix of wins cannot be used: it must be square, with finite entries of zero or more and a zero
// diagonal. wins[i][j] is how often, in fractions, i beat j.
func checkWins(wins [][]float64) error {
	for i, row := range wins {
		if len(row) != len(wins) {
			return fmt.Errorf("vlmjudge: wins: row %d has %d entries, want %d, one per item", i, len(row), len(wins))
		}
		for j, w := range row {
			if !(w >= 0) || math.IsInf(w, 0) {
				return fmt.Errorf("vlmjudge: wins[%d][%d] is %v, want a finite number of zero or more", i, j, w)
			}
			if i == j && w != 0 {
				return fmt.Errorf("vlmjudge: wins[%d][%d] is %v, but an item is not compared with itself: set it to 0", i, j, w)
			}
		}
	}
	return nil
}

// withPseudo adds pseudo wins each way to every compared pair.
func withPseudo(wins [][]float64, pseudo float64) ([][]float64, error) {
	if !(pseudo >= 0) || math.IsInf(pseudo, 0) {
		return nil, fmt.Errorf("vlmjudge: %v pseudo-wins, want a finite number of zero or more", pseudo)
	}
	sum := make([][]float64, len(wins))
	for i, row := range wins {
		sum[i] = append([]float64(nil), row...)
		for j := range row {
			if row[j]+wins[j][i] > 0 {
				sum[i][j] += pseudo
			}
		}
	}
	return sum, nil
}

// bounded is nil when the likelihood has a finite maximum: from every item there is a chain of wins to every other one
// (Ford, Amer. Math. Monthly 64 (1957), 28).
func bounded(n int, beats func(i, j int) bool) error {
	won, met := simple.NewDirectedGraph(), simple.NewUndirectedGraph()
	for i := range n {
		won.AddNode(simple.Node(i))
		met.AddNode(simple.Node(i))
	}
	for i := range n {
		for j := range n {
			if i != j && beats(i, j) {
				won.SetEdge(won.NewEdge(simple.Node(i), simple.Node(j)))
				met.SetEdge(met.NewEdge(simple.Node(i), simple.Node(j)))
			}
		}
	}
	if parts := topo.ConnectedComponents(met); len(parts) > 1 {
		return apart(ErrDisconnected, parts)
	}
	if parts := topo.TarjanSCC(won); len(parts) > 1 {
		return apart(ErrUnbounded, parts)
	}
	return nil
}

// apart names one item of each of the first two parts.
func apart(cause error, parts [][]graph.Node) error {
	return fmt.Errorf("%w (items %d and %d, for instance)", cause, parts[0][0].ID(), parts[1][0].ID())
}
