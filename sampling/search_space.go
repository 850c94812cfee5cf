package sampling

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// What searches in the space of initial noises share: noises and their geometry, sums in float64.

// fresh is the noise of one image. The first of a search is the seed's.
func (s *Search) fresh() []float32 {
	x := make([]float32, s.Size)
	s.Normal(x)
	return x
}

// blend writes √(1−ρ²)·z + ρ·ξ to dst with fresh ξ: the proposal of the preconditioned Crank-Nicolson algorithm (Cotter, Roberts,
// Stuart and White 2013, arXiv 1202.0709). It is reversible under the standard normal law, so that a move or a
// mutation by it keeps noise noise whatever ρ is. dst may be z.
func (s *Search) blend(dst, z []float32, rho float64) {
	keep := math.Sqrt(1 - rho*rho)
	xi := make([]float32, len(z))
	s.Normal(xi)
	for i, v := range z {
		dst[i] = float32(keep*float64(v) + rho*float64(xi[i]))
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func norm(x []float32) float64 { return math.Sqrt(squared(x)) }

// cosine of the angle between two vectors, within −1 to 1; 0 where one of them is zero.
func cosine(a, b []float32) float64 {
	length := norm(a) * norm(b)
	if length == 0 {
		return 0
	}
	return min(1, max(-1, dot(a, b)/length))
}

// better tells whether a candidate's score beats another: no score, NaN, beats nothing and is beaten by every score.
func better(a, b float64) bool { return a > b || math.IsNaN(b) && !math.IsNaN(a) }

// best is the index of the first highest score, 0 when there is none.
func best(scores []float64) int {
	k := 0
	for i, v := range scores {
		if better(v, scores[k]) {
			k = i
		}
	}
	return k
}

// ranked are the indices of scores, the best first, no score last.
func ranked(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return rank(scores[i], scores[j]) })
	return order
}

// rank is −1 where score a goes before b in a list with the best first, 1 where it goes behind.
func rank(a, b float64) int {
	switch {
	case better(a, b):
		return -1
	case better(b, a):
		return 1
	}
	return 0
}

// span is a setting that must lie between two numbers, ends included.
type span struct {
	name        string
	value       float64
	least, most float64
}

// checkSpans reports the first setting of a method that is out of range.
func checkSpans(method string, spans ...span) error {
	for _, r := range spans {
		if !(r.value >= r.least && r.value <= r.most) {
			return fmt.Errorf("sampling: %s: %s is %v; it must be between %v and %v", method, r.name, r.value, r.least, r.most)
		}
	}
	return nil
}

// orElse is v, or what 0 stands for.
func orElse[T int | float64](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// unknownSetting reports a word that a method does not know.
func unknownSetting(method, name, value string, allowed ...string) error {
	return fmt.Errorf("sampling: %s: %s %q is unknown; there are %s", method, name, value, strings.Join(allowed, ", "))
}
