package vlmjudge

import (
	"errors"
	"math"
)

// ErrNotConverged reports an iteration that ran out of steps: the comparisons hardly tie the items together.
var ErrNotConverged = errors.New("vlmjudge: the strengths did not converge; pass more pseudo-wins or a prior")

const (
	strengthTolerance = 1e-12  // largest change of a log-strength in the last step
	strengthSteps     = 200000 // a chain of 64 items takes about 20 000
)

// BradleyTerry estimates strengths from pairwise comparisons: P(i beats j) = 1/(1+exp(θj−θi)). wins[i][j] is the number
// of times that i beat j, in fractions: the sum of the probabilities of a soft judge, both orders, a tie being half a win
// each way. It returns θ in natural-log units, one per item, with mean 0.
//
// pseudo is added each way to every pair that was compared; ½ is usual, and keeps items finite that won or lost all
// their comparisons. Without it they give [ErrUnbounded]. Items without a chain of comparisons between them give
// [ErrDisconnected] always: nothing says which is stronger, and [BradleyTerryPrior] is the tool there.
//
// The maximum of the likelihood is found by the minorise-maximise iteration of D. R. Hunter, "MM algorithms for
// generalized Bradley–Terry models", Annals of Statistics 32 (2004), 384, one item at a time.
func BradleyTerry(wins [][]float64, pseudo float64) (theta []float64, err error) {
	if err := checkWins(wins); err != nil {
		return nil, err
	}
	w, err := withPseudo(wins, pseudo)
	if err != nil {
		return nil, err
	}
	if err := bounded(len(w), func(i, j int) bool { return w[i][j] > 0 }); err != nil {
		return nil, err
	}
	theta = make([]float64, len(w))
	for range strengthSteps {
		if bradleyTerryStep(theta, w) < strengthTolerance {
			return theta, nil
		}
	}
	return nil, ErrNotConverged
}

// bradleyTerryStep renews every strength once, centres them and returns the largest change.
func bradleyTerryStep(theta []float64, w [][]float64) float64 {
	before := append([]float64(nil), theta...)
	for i := range theta {
		var won, met float64
		for j := range theta {
			if n := w[i][j] + w[j][i]; n > 0 {
				won += w[i][j]
				met += n * sigmoid(theta[i]-theta[j]) // p_i · n/(p_i + p_j)
			}
		}
		if met > 0 {
			theta[i] += math.Log(won / met)
		}
	}
	centre(theta)
	var change float64
	for i := range theta {
		change = max(change, math.Abs(theta[i]-before[i]))
	}
	return change
}

// ExpectedWinRates gives for every item the mean probability of beating each of the others: the soft reward of an image
// within its group, in 0..1, with mean ½ over the group. A single item has 1.
func ExpectedWinRates(theta []float64) []float64 {
	rates := make([]float64, len(theta))
	for i := range theta {
		for j := range theta {
			if i != j {
				rates[i] += sigmoid(theta[i]-theta[j]) / float64(len(theta)-1)
			}
		}
	}
	if len(theta) == 1 {
		rates[0] = 1
	}
	return rates
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// centre subtracts the mean.
func centre(x []float64) {
	var sum float64
	for _, v := range x {
		sum += v
	}
	for i := range x {
		x[i] -= sum / float64(len(x))
	}
}
