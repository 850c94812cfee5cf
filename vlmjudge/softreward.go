package vlmjudge

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Truth is what people said of the pictures of a question, in the order in which the question shows them. Either Share is set, for
// two pictures, or Ranks, for two or more.
type Truth struct {
	// Share of votes for the first of two pictures, 0 to 1; ½ is a tie.
	Share *float64 `json:"share,omitempty"`
	// Ranks of the pictures: lower is better, equal is a tie, null is not ranked.
	Ranks []*float64 `json:"ranks,omitempty"`
}

// UnmarshalJSON takes an object, or a text that holds one: trainers carry ground truth as text.
func (t *Truth) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	type plain Truth
	*t = Truth{}
	if err := json.Unmarshal(data, (*plain)(t)); err != nil {
		return err
	}
	return t.check()
}

// check says what is wrong with a truth.
func (t *Truth) check() error {
	switch {
	case t.Share == nil && t.Ranks == nil, t.Share != nil && t.Ranks != nil:
		return errors.New(`want either "share", of votes for the first of two pictures, or "ranks"`)
	case t.Share != nil && !(*t.Share >= 0 && *t.Share <= 1):
		return fmt.Errorf("a share of %v; want 0 to 1", *t.Share)
	case t.Ranks != nil && (len(t.Ranks) < 2 || len(t.Ranks) > MaxList):
		return fmt.Errorf("%d ranks; want 2 to %d", len(t.Ranks), MaxList)
	}
	for _, r := range t.Ranks {
		if r != nil && (math.IsNaN(*r) || math.IsInf(*r, 0)) {
			return fmt.Errorf("a rank of %v; want a finite number, or null", *r)
		}
	}
	return nil
}

// pictures is how many the question shows.
func (t *Truth) pictures() int {
	if t.Share != nil {
		return 2
	}
	return len(t.Ranks)
}

// share is the truth about two pictures of the question: NaN where it says nothing.
func (t *Truth) share(a, b int) float64 {
	if t.Share != nil {
		return *t.Share
	}
	x, y := t.Ranks[a], t.Ranks[b]
	switch {
	case x == nil || y == nil:
		return math.NaN()
	case *x < *y:
		return 1
	case *x > *y:
		return 0
	}
	return .5
}

// Grader grades what a judge in training wrote: the reward of a group-relative policy gradient (GRPO; Shao et al., arXiv 2402.03300).
// The numbers are the weights of the parts; the zero value is [DefaultGrader].
type Grader struct {
	Order  float64 `json:"order"`
	Brier  float64 `json:"brier"`
	Format float64 `json:"format"`
	// Direct wants the answer alone, without the tags that a judge which reasons writes.
	Direct bool `json:"direct,omitempty"`
}

// DefaultGrader pays for right answers and for honest probabilities alike, and a little for form.
var DefaultGrader = Grader{Order: .5, Brier: .5, Format: .1}

// Check refuses weights that are no finite numbers of zero or more.
func (g Grader) Check() error {
	for _, w := range []float64{g.Order, g.Brier, g.Format} {
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("vlmjudge: a weight of %v in a training reward, want a finite number of zero or more", w)
		}
	}
	return nil
}

// Grade is the reward of one answer and its parts, each 0 to 1.
type Grade struct {
	Reward float64 // Σ weight·part; a part that is NaN counts nothing
	// Order is the share of the pairs that people decided which the answer orders as they did; a tie in the answer is half right.
	// NaN: people decided no pair.
	Order float64
	// Brier is 1 − (P − q)², averaged over the pairs that people voted on: P is the answer's probability that the first is better (1 or
	// 0 where it only names one, ½ where it ties them), q the share of votes. Its expectation is greatest where P is the true share
	// (Brier, Monthly Weather Review 78 (1950), 1). NaN: there is no vote.
	Brier float64
	// Format is 1 where the text is <think>…</think><answer>…</answer> and nothing else (direct: the answer alone), else 0.
	Format float64
	Answer string // as read; "" where there is none, which has 0 in every part
}

// Grade grades a completion. p is the trainer's own probability that the first of two pictures is better, from the judge's label
// probabilities, and takes the place of the written answer in Brier; NaN: there is none. Errors are those of the truth and of p; what
// the judge wrote is never an error.
func (g Grader) Grade(completion string, truth Truth, p float64) (Grade, error) {
	if err := errors.Join(truth.check(), g.Check()); err != nil {
		return Grade{}, err
	}
	if p < 0 || p > 1 || !math.IsNaN(p) && truth.Share == nil {
		return Grade{}, fmt.Errorf("vlmjudge: p is %v, want 0 to 1, and a question about two pictures with a share", p)
	}
	if (g == Grader{Direct: g.Direct}) {
		g.Order, g.Brier, g.Format = DefaultGrader.Order, DefaultGrader.Brier, DefaultGrader.Format
	}
	written := readAnswer(completion, truth.pictures(), g.Direct)
	out := Grade{Answer: written.text}
	out.Order, out.Brier = written.against(&truth, p)
	if written.formed {
		out.Format = 1
	}
	for _, part := range [][2]float64{{g.Order, out.Order}, {g.Brier, out.Brier}, {g.Format, out.Format}} {
		if !math.IsNaN(part[1]) {
			out.Reward += part[0] * part[1]
		}
	}
	return out, nil
}

// against holds an answer against the truth.
func (w *writtenAnswer) against(truth *Truth, p float64) (order, brier float64) {
	var decided, right, voted, sum float64
	n := truth.pictures()
	for a := range n {
		for b := a + 1; b < n; b++ {
			q := truth.share(a, b)
			if math.IsNaN(q) {
				continue
			}
			voted++
			said := w.probability(a, b)
			if q != .5 {
				decided++
				right += agreement(said, q)
			}
			if !math.IsNaN(p) && w.places != nil {
				said = p
			}
			if !math.IsNaN(said) {
				sum += 1 - (said-q)*(said-q)
			}
		}
	}
	return right / decided, sum / voted // NaN where there is none
}

// agreement is 1 where both are on one side of ½, and ½ where the answer ties. NaN agrees with nothing.
func agreement(said, q float64) float64 {
	switch {
	case said == .5:
		return .5
	case said > .5 && q > .5, said < .5 && q < .5:
		return 1
	}
	return 0
}
