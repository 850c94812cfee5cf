package judgeset

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"winnow/datasets"
	"winnow/vlmjudge"
)

// Asking says which questions become of a record.
type Asking struct {
	Question  string // a name of vlmjudge.Questions
	BothOrder bool   // every question twice, in opposite orders of its pictures; else once, in an order drawn by a hash
	KeepTies  bool   // pairs that people tied, and lists of nothing but ties
}

// question is one row of a set.
type question struct {
	vlmjudge.Question
	prompt  string
	images  []*datasets.Image // in the order shown
	places  []int             // of them in the record
	truth   vlmjudge.Truth
	answer  string // of the truth, as a judge would write it
	turned  bool   // the second of two orders
	attempt int    // place among the questions of the record
}

// Counts of a run.
type Counts struct {
	Questions [2]int // by part: Train, Validation
	Beyond    int    // records
	Leaked    int    // records
	Ties      int    // pairs or lists that were left out
	Unlabeled int    // the same, of which nothing is known
}

// questions are those about one record. The record must have pictures.
func (a *Asking) questions(r *datasets.Record, c *Counts) ([]question, error) {
	if a.Question == vlmjudge.QuestionList {
		return a.list(r, c)
	}
	var out []question
	for p := range r.Pairs() {
		share := soft(r, p)
		switch {
		case math.IsNaN(p.Label) || math.IsNaN(share):
			c.Unlabeled++
			continue
		case p.Label == .5 && !a.KeepTies:
			c.Ties++
			continue
		}
		for _, turned := range a.orders(r, p.A, p.B) {
			q := question{prompt: r.Prompt, places: []int{p.A, p.B}, turned: turned, attempt: len(out)}
			told, label := share, p.Label
			if turned {
				q.places, told, label = []int{p.B, p.A}, opposite(share), 1-label
			}
			q.truth.Share = &told
			q.answer = a.written(told, label)
			out = append(out, q)
		}
	}
	return a.asked(r, out)
}

// soft is the share of votes for the first picture of a pair: of the annotators where they are told apart.
func soft(r *datasets.Record, p datasets.Pair) float64 {
	votes, sum := 0., 0.
	for _, v := range r.Votes {
		if p.A < len(v.Rank) && p.B < len(v.Rank) {
			if label := datasets.CompareRanks(v.Rank[p.A], v.Rank[p.B]); !math.IsNaN(label) {
				votes++
				sum += label
			}
		}
	}
	switch {
	case votes > 0:
		return sum / votes
	case math.IsNaN(p.Soft):
		return p.Label
	}
	return p.Soft
}

// opposite is 1 − share, without the last digits of the subtraction: it is written as text.
func opposite(share float64) float64 { return math.Round((1-share)*1e12) / 1e12 }

// written is the right answer about two pictures; "" to a tie where only a digit can be answered.
func (a *Asking) written(share, label float64) string {
	switch {
	case a.Question == vlmjudge.QuestionProbability:
		return fmt.Sprintf("%.2f", share)
	case label > .5:
		return "1"
	case label < .5:
		return "2"
	}
	return ""
}

// orders are those in which pictures are shown: false as drawn, true the other way round.
func (a *Asking) orders(r *datasets.Record, places ...int) []bool {
	if a.BothOrder {
		return []bool{false, true}
	}
	return []bool{hash(r, places...)&1 == 1}
}

// hash depends on the prompt and the pictures' names or bytes, not on where the record stands.
func hash(r *datasets.Record, places ...int) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, r.Prompt)
	for _, i := range places {
		_, _ = io.WriteString(h, "\x00"+r.Images[i].Name())
		_, _ = h.Write(r.Images[i].Data)
		_, _ = h.Write(binary.AppendVarint(nil, int64(i)))
	}
	x := h.Sum64() // the low bits depend on the last bytes alone
	return rand.New(rand.NewPCG(x, 1)).Uint64()
}

// list is a question about all pictures of a record, in random order and, with both orders, in the reverse.
func (a *Asking) list(r *datasets.Record, c *Counts) ([]question, error) {
	ranks := r.Rank
	if r.Kind == datasets.KindPair {
		ranks = []float64{1 - r.Label, r.Label}
	}
	known := map[float64]int{}
	ranked := 0
	for _, v := range ranks {
		if !math.IsNaN(v) {
			known[v]++
			ranked++
		}
	}
	switch {
	case ranked < 2:
		c.Unlabeled++
		return nil, nil
	case len(known) == 1 && !a.KeepTies:
		c.Ties++
		return nil, nil
	}
	all := make([]int, len(ranks))
	for i := range all {
		all[i] = i
	}
	order := rand.New(rand.NewPCG(hash(r, all...), 2)).Perm(len(ranks))
	var out []question
	for _, turned := range a.orders(r, all...) {
		q := question{prompt: r.Prompt, places: slices.Clone(order), turned: turned, attempt: len(out)}
		if turned {
			slices.Reverse(q.places)
		}
		for _, i := range q.places {
			var rank *float64
			if v := ranks[i]; !math.IsNaN(v) {
				rank = &v
			}
			q.truth.Ranks = append(q.truth.Ranks, rank)
		}
		q.answer = letters(q.truth.Ranks)
		out = append(out, q)
	}
	return a.asked(r, out)
}

// letters writes an order, best first; "" where a picture has no rank.
func letters(ranks []*float64) string {
	order := make([]int, len(ranks))
	for i, r := range ranks {
		if r == nil {
			return ""
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case *ranks[a] < *ranks[b]:
			return -1
		case *ranks[a] > *ranks[b]:
			return 1
		}
		return 0
	})
	out := ""
	for k, i := range order {
		switch {
		case k == 0:
		case *ranks[i] == *ranks[order[k-1]]:
			out += "="
		default:
			out += ">"
		}
		out += string(rune('A' + i))
	}
	return out
}

// asked adds wording and pictures.
func (a *Asking) asked(r *datasets.Record, all []question) ([]question, error) {
	for i := range all {
		q := &all[i]
		var err error
		if q.Question, err = vlmjudge.TrainingQuestion(a.Question, r.Prompt, len(q.places)); err != nil {
			return nil, &datasets.RowError{Err: err}
		}
		for _, k := range q.places {
			im := &r.Images[k]
			if !im.Present() {
				return nil, &datasets.RowError{Column: fmt.Sprintf("picture %d", k+1), Err: fmt.Errorf("%s: %w", im.Name(), datasets.ErrNoData)}
			}
			q.images = append(q.images, im)
		}
	}
	return all, nil
}

// groundTruth is the truth as text, which is how trainers carry it.
func (q *question) groundTruth() string {
	data, err := json.Marshal(q.truth)
	if err != nil {
		panic(err) // finite numbers only
	}
	return string(data)
}
