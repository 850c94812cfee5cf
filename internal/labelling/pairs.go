// Package labelling turns scored pictures into preference pairs, and keeps what a judge said of them.
package labelling

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Which pairs of a prompt's pictures are taken.
const (
	BestWorst = "best-worst" // the best with the worst, the second best with the second worst, …
	All       = "all"        // every two
	Adjacent  = "adjacent"   // neighbours in the order of the scores
	Group     = "group"      // none: all of them as one ranking, for losses that look at more than two
)

// Strategies lists them.
func Strategies() []string { return []string{BestWorst, All, Adjacent, Group} }

// Rule says how pairs are made of scores.
type Rule struct {
	Pairs     string // BestWorst, All or Adjacent
	PerPrompt int    // at most; 0 means 1 for BestWorst and no limit for the others. Those with the largest gaps are taken
	// MinGap is the smallest difference of scores that decides; what lies below it, and no difference at all, is a tie.
	MinGap float64
	// KeepTies takes ties as pairs with label 0.5; otherwise they are left out.
	KeepTies bool
	// Select keeps so many pictures of a group: the best, the worst and those furthest from them; 0 keeps all. See dpo.DiverseExtremes.
	Select int
	// Dominance takes pairs only whose better picture is at least as good by every single reward, as by the sum that Choose is given.
	Dominance bool
	// Temperature makes the soft label σ(gap/Temperature); 0 makes it equal the label.
	Temperature float64
}

// Pair is two pictures of a prompt, A before B.
type Pair struct {
	A, B  int     // places of the pictures
	Gap   float64 // score of A − score of B
	Label float64 // 1: A is better; 0: B is; 0.5: a tie
	Soft  float64 // probability that A is better
}

// Check reports a rule that cannot work.
func (r Rule) Check() error {
	switch {
	case !slices.Contains(Strategies(), r.Pairs):
		return fmt.Errorf("pairs %q: want %s", r.Pairs, strings.Join(Strategies(), ", "))
	case r.Pairs == Group && (r.PerPrompt > 0 || r.MinGap > 0 || r.KeepTies || r.Dominance || r.Temperature > 0):
		return fmt.Errorf("pairs %s: one ranking a prompt has no pairs to choose; leave out the flags about them", Group)
	case r.Select != 0 && r.Pairs != Group:
		return fmt.Errorf("select %d: it chooses pictures of a ranking; ask for one by --pairs %s", r.Select, Group)
	case r.Select < 0 || r.Select == 1:
		return fmt.Errorf("select %d: want at least 2 pictures of a ranking", r.Select)
	case r.PerPrompt < 0:
		return fmt.Errorf("pairs-per-prompt %d: want at least 1, or 0 for the default", r.PerPrompt)
	case !(r.MinGap >= 0) || math.IsInf(r.MinGap, 0):
		return fmt.Errorf("min-gap %v: want a difference of scores, not negative", r.MinGap)
	case !(r.Temperature >= 0) || math.IsInf(r.Temperature, 0):
		return fmt.Errorf("soft-labels %v: want a temperature above 0, in units of the scores", r.Temperature)
	}
	return nil
}

// Choose makes the pairs of one prompt, largest gap first; pictures whose score is NaN take no part. parts are the scores of single rewards,
// picture by picture, for Dominance, else nil. ties counts the pairs that were left out as ties. Pictures keep their order within a pair, so
// that the better one stands first as often as not.
func (r Rule) Choose(scores []float64, parts [][]float64) (pairs []Pair, ties int) {
	for _, p := range r.candidates(scores, parts) {
		gap := scores[p[0]] - scores[p[1]]
		pair := Pair{A: p[0], B: p[1], Gap: gap, Label: 0.5}
		if size := math.Abs(gap); size > 0 && size >= r.MinGap {
			pair.Label = (math.Copysign(1, gap) + 1) / 2
		} else if !r.KeepTies {
			ties++
			continue
		}
		pair.Soft = pair.Label
		if r.Temperature > 0 {
			pair.Soft = 1 / (1 + math.Exp(-gap/r.Temperature))
		}
		pairs = append(pairs, pair)
	}
	return pairs, ties
}

// dominates reports whether no single reward contradicts the order of two pictures.
func dominates(scores []float64, parts [][]float64, p [2]int) bool {
	a, b := p[0], p[1]
	if scores[a] < scores[b] {
		a, b = b, a
	}
	for k, v := range parts[a] {
		if v < parts[b][k] {
			return false
		}
	}
	return true
}

// Ranks are those of a group's pictures by their scores, from 1 for the best; equal scores share the better rank, and NaN has none.
func Ranks(scores []float64) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = 1
		for _, other := range scores {
			if other > s {
				out[i]++
			}
		}
		if math.IsNaN(s) {
			out[i] = math.NaN()
		}
	}
	return out
}

// candidates are the pairs before ties are looked for, as the places of their pictures, the lower one first.
func (r Rule) candidates(scores []float64, parts [][]float64) [][2]int {
	var order []int // best first
	for i, s := range scores {
		if !math.IsNaN(s) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	var all [][2]int
	n, limit := len(order), r.PerPrompt
	take := func(i, j int) { all = append(all, [2]int{min(order[i], order[j]), max(order[i], order[j])}) }
	switch r.Pairs {
	case BestWorst:
		limit = max(limit, 1)
		for i := range n / 2 {
			take(i, n-1-i)
		}
	case All:
		for i := range n {
			for j := range i {
				take(j, i)
			}
		}
	case Adjacent:
		for i := 1; i < n; i++ {
			take(i-1, i)
		}
	}
	slices.SortStableFunc(all, func(a, b [2]int) int {
		return cmp.Or(cmp.Compare(math.Abs(scores[b[0]]-scores[b[1]]), math.Abs(scores[a[0]]-scores[a[1]])), cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	if r.Dominance {
		all = slices.DeleteFunc(all, func(p [2]int) bool { return !dominates(scores, parts, p) })
	}
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all
}
