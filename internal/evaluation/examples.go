package evaluation

import (
	"cmp"
	"math"
	"slices"
)

// Example is a pair of pictures on which a scorer is sure, rightly or wrongly.
type Example struct {
	Record        int // number of the record in the set
	First, Second int // of its pictures
	Human         float64
	Margin        float64 // score of First − that of Second
	Right         bool
}

// Examples are the n decided pairs of each kind that the scorer is surest of, at most one a prompt.
func (c *Scorer) Examples(n int) (right, wrong []Example) {
	all, _ := c.set.choices()
	var every []Example
	for _, x := range all {
		if m := c.margin(x); x.decided() && !math.IsNaN(m) {
			every = append(every, Example{int(x.record), int(x.first), int(x.second), x.human, m, x.right(m)})
		}
	}
	slices.SortStableFunc(every, func(a, b Example) int { return cmp.Compare(math.Abs(b.Margin), math.Abs(a.Margin)) })
	seen := map[bool]map[string]bool{true: {}, false: {}}
	for _, e := range every {
		prompt := c.set.Prompt(e.Record)
		into := &wrong
		if e.Right {
			into = &right
		}
		if len(*into) < n && !seen[e.Right][prompt] {
			seen[e.Right][prompt] = true
			*into = append(*into, e)
		}
	}
	return right, wrong
}

// Prompt of a record.
func (s *Set) Prompt(record int) string { return s.prompts.list[s.entries[record].prompt] }
