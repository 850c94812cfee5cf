package vlmjudge

import (
	"fmt"
	"math"
)

// QAlignValues are the values of Q-Align's five levels, excellent, good, fair, poor and bad (Wu et al., arXiv
// 2312.17090, section 3.3, brought to 0..1).
var QAlignValues = []float64{1, .75, .5, .25, 0}

// ExpectedScore is the pointwise soft reward: the mean of the labels' values, weighted by their probabilities, of which
// logprobs are the natural logarithms (−Inf for a label that cannot come). mass is what the labels hold together; below
// [MinMass] the judge was about to say something else, and the error is [ErrLowMass]. The score lies between the least
// and the greatest value.
func ExpectedScore(logprobs, values []float64) (score, mass float64, err error) {
	if len(logprobs) != len(values) || len(values) == 0 {
		return math.NaN(), 0, fmt.Errorf("vlmjudge: %d label probabilities for %d values, want as many, and one at least", len(logprobs), len(values))
	}
	for j, l := range logprobs {
		p := math.Exp(l)
		score += p * values[j]
		mass += p
	}
	if !(mass >= MinMass) {
		return math.NaN(), mass, ErrLowMass
	}
	return score / mass, mass, nil
}
