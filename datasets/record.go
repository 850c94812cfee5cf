package datasets

import (
	"iter"
	"math"
)

// Kind says which fields of a record mean something.
type Kind int

// Kinds of records.
const (
	KindPrompt Kind = iota + 1 // a prompt of a benchmark, without pictures
	KindGroup                  // pictures of one prompt, ranked, rated, or neither
	KindPair                   // two pictures of one prompt and a preference
)

func (k Kind) String() string {
	switch k {
	case KindPrompt:
		return "prompt"
	case KindGroup:
		return "group"
	case KindPair:
		return "pair"
	}
	return "unknown"
}

// Record is one row of a set. What a format does not tell is left at its zero value, except for numbers, which are NaN.
type Record struct {
	Kind     Kind
	ID       string // as in the file; "" when the format has none
	Prompt   string
	Category string
	Images   []Image // none for prompts, two for pairs

	// Rank has one number per image of a ranked group: lower is better, equal is a tie, NaN is not ranked. It is nil for
	// groups without ranks. The smallest rank need not be 1.
	Rank []float64

	// Scores has one number per image, higher is better: what a reward gave, or a judge's strengths. NaN is no score; it is nil
	// where the format has none.
	Scores []float64

	// Label is what a pair says of Images[0]: 1 preferred, 0 the other is preferred, 0.5 a tie, NaN not decided. Of a group of one picture it
	// says whether that is liked: 1 it is, 0 it is not.
	Label float64
	// Soft is the share of votes for Images[0], 0 to 1. It equals Label where votes are not told apart.
	Soft float64
	// Confidence is the annotators' or the aggregation's, 0 to 1; NaN when the format has none.
	Confidence float64
	// Weight of the row in losses and averages; 1 unless the file says otherwise.
	Weight float64

	Votes      []Vote            // single annotators, where the format keeps them
	Inputs     []Image           // pictures that belong to the prompt (editing)
	Spec       *ObjectSpec       // GenEval
	Questions  []Question        // DPG-Bench
	Attributes map[string]string // other columns, by name

	Row int // in the file, from 1; for lines, the line
}

// Vote is one annotator's ranking of a group.
type Vote struct {
	User string
	Rank []float64 // as Record.Rank
}

// Pair is two pictures of a record.
type Pair struct {
	A, B  int     // places in Record.Images
	Label float64 // as Record.Label
	Soft  float64 // as Record.Soft
}

// Pairs yields the comparisons that a record holds: a pair's own, and of a ranked group every i < j. Ties have label 0.5;
// where a rank is NaN the label is NaN.
func (r *Record) Pairs() iter.Seq[Pair] {
	return func(yield func(Pair) bool) {
		if r.Kind == KindPair {
			yield(Pair{A: 0, B: 1, Label: r.Label, Soft: r.Soft})
			return
		}
		for i := range r.Rank {
			for j := i + 1; j < len(r.Rank); j++ {
				label := CompareRanks(r.Rank[i], r.Rank[j])
				if !yield(Pair{A: i, B: j, Label: label, Soft: label}) {
					return
				}
			}
		}
	}
}

// Gap is the difference of the scores of a pair's pictures, above 0 where the first is better; NaN without scores.
func (r *Record) Gap(p Pair) float64 {
	if len(r.Scores) != len(r.Images) || p.A >= len(r.Scores) || p.B >= len(r.Scores) {
		return math.NaN()
	}
	return r.Scores[p.A] - r.Scores[p.B]
}

// CompareRanks is the label, as Record.Label, of a picture of rank a beside one of rank b.
func CompareRanks(a, b float64) float64 {
	switch {
	case a < b:
		return 1
	case a > b:
		return 0
	case a == b:
		return 0.5
	}
	return math.NaN()
}

// newRecord has NaN where nothing is known.
func newRecord(kind Kind, prompt string) Record {
	return Record{Kind: kind, Prompt: prompt, Label: math.NaN(), Soft: math.NaN(), Confidence: math.NaN(), Weight: 1}
}

// newPair is a pair with its label.
func newPair(prompt string, a, b Image, label float64) Record {
	r := newRecord(KindPair, prompt)
	r.Images, r.Label, r.Soft = []Image{a, b}, label, label
	return r
}

// Swap exchanges the two pictures of a pair, and its label with them.
func (r *Record) Swap() {
	if r.Kind != KindPair {
		return
	}
	r.Images[0], r.Images[1] = r.Images[1], r.Images[0]
	r.Label, r.Soft = 1-r.Label, 1-r.Soft
	if len(r.Scores) == 2 {
		r.Scores[0], r.Scores[1] = r.Scores[1], r.Scores[0]
	}
}

// hardLabel decides by a share of votes.
func hardLabel(share float64) float64 {
	switch {
	case share > 0.5:
		return 1
	case share < 0.5:
		return 0
	}
	return share // a tie, or NaN
}
