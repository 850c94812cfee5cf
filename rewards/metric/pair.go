package metric

import "math"

// Pair is two pictures of one prompt: the human label, 1 when the first is better, 0 when the second is, ½ for a tie, and
// the two predicted scores.
type Pair struct {
	Label, First, Second float64
}

// probability is the softmax over the two scores, of the first.
func (p Pair) probability() float64 { return 1 / (1 + math.Exp(p.Second-p.First)) }

// NoTies is pickapic.no_ties: pairs with a decided label, right when the scores differ in the same direction.
func NoTies(pairs []Pair) Count {
	var c Count
	for _, p := range pairs {
		if p.Label == 0.5 {
			continue
		}
		c.Total++
		if p.Label > 0.5 && p.First > p.Second || p.Label < 0.5 && p.First < p.Second {
			c.Right++
		}
	}
	return c
}

// TieThreshold is pickapic.tie_threshold at threshold t: probabilities are the softmax over the two scores; the prediction
// is a tie when they differ by at most t. One point for the right class, half a point when exactly one of label and
// prediction is a tie.
func TieThreshold(pairs []Pair, t float64) Count {
	c := Count{Total: float64(len(pairs))}
	for _, p := range pairs {
		first := p.probability()
		tied, labelTied := math.Abs(2*first-1) <= t, p.Label == 0.5
		switch {
		case tied && labelTied, !tied && !labelTied && (first > 0.5) == (p.Label > 0.5):
			c.Right++
		case tied != labelTied:
			c.Right += 0.5
		}
	}
	return c
}

// ChooseTieThreshold returns the threshold of 0, 0.1, …, 1 with the highest TieThreshold on validation pairs, the first of
// equal ones, as numpy's argmax.
func ChooseTieThreshold(validation []Pair) float64 {
	best, at := math.Inf(-1), 0.0
	for i := range 11 {
		t := float64(i) / 10
		if s := TieThreshold(validation, t).Share(); s > best {
			best, at = s, t
		}
	}
	return at
}

// RandomBaseline is the expected pickapic.tie_threshold of uniform random probabilities: a tie is predicted with
// probability t.
func RandomBaseline(pairs []Pair, t float64) float64 {
	ties := 0.0
	for _, p := range pairs {
		if p.Label == 0.5 {
			ties++
		}
	}
	n := float64(len(pairs))
	return ((t+(1-t)/2)*ties + 0.5*(n-ties)) / n
}

// WinRate compares the scores of two models' pictures, one pair a prompt: the share of prompts that A wins, a tie counting
// half. It is the convention of Diffusion-DPO and its successors, which leave equal scores open.
func WinRate(a, b []float64) Count {
	c := Count{Total: float64(len(a))}
	for i := range a {
		switch {
		case a[i] > b[i]:
			c.Right++
		case a[i] == b[i]:
			c.Right += 0.5
		}
	}
	return c
}
