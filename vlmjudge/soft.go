package vlmjudge

import (
	"errors"
	"math"
)

// MinMass is the share of probability that the labels of a direct answer must hold together; below it the judge was
// about to say something else, and its answer is not used.
const MinMass = 0.05

// ErrLowMass reports an answer whose labels hold less than MinMass.
var ErrLowMass = errors.New("vlmjudge: the judge's answer is not one of the labels")

// Direct is the soft reward of one forced token: the natural logarithms of the label probabilities give the
// probability that the first picture is better, and the mass that the labels hold. A tie counts half; pass -Inf for
// tie where the template has no such label. The error is ErrLowMass when the mass is too small.
func Direct(first, second, tie float64) (p, mass float64, err error) {
	a, b, t := math.Exp(first), math.Exp(second), math.Exp(tie)
	mass = a + b + t
	if !(mass >= MinMass) {
		return math.NaN(), mass, ErrLowMass
	}
	return (a + t/2) / mass, mass, nil
}

// Votes is the soft reward of several sampled answers: the share of votes for the first picture under a Beta(prior,
// prior) prior, ties counting half. Prior ½ is Jeffreys', 1 is Laplace's. It is ½ when nobody voted and prior > 0.
func Votes(first, second, ties int, prior float64) float64 {
	return (float64(first) + float64(ties)/2 + prior) / (float64(first+second+ties) + 2*prior)
}

// Swapped is a comparison of A and B asked in both orders.
type Swapped struct {
	Mean         float64 `json:"mean"`         // ½·(P(A better | A first) + 1 − P(B better | B first))
	LogitMean    float64 `json:"logit_mean"`   // the same on the log-odds scale, which removes an additive position bias exactly
	Bias         float64 `json:"bias"`         // that bias, in log-odds for the position shown first
	Inconsistent float64 `json:"inconsistent"` // absolute difference of the two orders' probabilities of A
}

// Swap combines P(A better | A shown first) and P(B better | B shown first).
func Swap(aFirst, bFirst float64) Swapped {
	x, y := Logit(aFirst), Logit(bFirst)
	return Swapped{
		Mean:         (aFirst + 1 - bFirst) / 2,
		LogitMean:    1 / (1 + math.Exp(-(x-y)/2)),
		Bias:         (x + y) / 2,
		Inconsistent: math.Abs(aFirst - (1 - bFirst)),
	}
}

// Logit is log(p/(1−p)). It clamps to [1e-6, 1−1e-6], so that a certain judge has finite log-odds.
func Logit(p float64) float64 {
	p = min(max(p, 1e-6), 1-1e-6)
	return math.Log(p / (1 - p))
}
