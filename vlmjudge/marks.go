package vlmjudge

import (
	"context"
	"fmt"
	"image"
	"math"
)

// Mark is an expected mark: the marks of a question, weighted by their probabilities or by the answers that gave them.
type Mark struct {
	Expected float64   `json:"expected"`         // Σ v·p / Σ p, between the least and the greatest mark
	Spread   float64   `json:"spread,omitempty"` // standard deviation of that distribution, or of the answers
	Labels   []string  `json:"labels,omitempty"`
	Shares   []float64 `json:"shares,omitempty"` // of the labels; they sum to 1
}

// Marks is how well the picture fits the prompt, by the question's marks (1 to 5, unless another wording says otherwise):
// Answer.Mark has the expected mark, and Answer.P the same from 0 for the least mark to 1 for the greatest. With label
// probabilities it is their mean over the labels ([ExpectedScore]), otherwise the mean of sampled answers.
func (j *Judge) Marks(ctx context.Context, prompt string, img image.Image) (Answer, error) {
	if err := checkPicture("the picture", img); err != nil {
		return Answer{}, err
	}
	return j.answer(ctx, j.asks.marks, prompt, img)
}

// expected turns the candidates of a position into an expected mark. Marks that are not listed count nothing: each has at
// most the least probability that is.
func (t template) expected(tokens []token) Answer {
	a := Answer{Protocol: ProtocolLogprobs, Formula: "Σ mark·p(mark)/Σ p(mark) of the first token"}
	p := make([]float64, len(t.Labels))
	for _, tok := range tokens {
		if i := t.labelOf(tok.Token); i >= 0 {
			p[i] += math.Exp(*tok.Logprob)
		}
	}
	for _, v := range p {
		a.Truncated = a.Truncated || v == 0
	}
	a.weigh(t.Labels, t.Values, p)
	return a
}

// weigh fills in the expected mark of the labels' probabilities or counts.
func (a *Answer) weigh(labels []string, values, p []float64) {
	logs := make([]float64, len(p))
	for i, v := range p {
		logs[i] = math.Log(v)
	}
	mark, mass, err := ExpectedScore(logs, values)
	a.P, a.Mass = .5, min(mass, 1) // servers round
	if err != nil {
		a.Abstained = true
		return
	}
	m := &Mark{Expected: mark, Labels: labels}
	low, high, variance := math.Inf(1), math.Inf(-1), 0.0
	for i, v := range values {
		low, high = min(low, v), max(high, v)
		m.Shares = append(m.Shares, p[i]/mass)
		variance += p[i] / mass * (v - mark) * (v - mark)
	}
	m.Spread = math.Sqrt(variance)
	a.Mark, a.P = m, min(max((mark-low)/(high-low), 0), 1)
	a.Raw = a.P * a.Mass
}

// markOf is what a reward's probability is worth as a mark.
func (t template) markOf(p float64) *Mark {
	first, last := t.Values[0], t.Values[len(t.Values)-1]
	return &Mark{Expected: first + p*(last-first)}
}

// marked is the formula of n written answers.
func (b *ballot) marked(n int, kind string) string {
	if b.reasoned {
		return fmt.Sprintf("mean of Σ mark·p(mark)/Σ p(mark) where %d %s give a mark", n, kind)
	}
	return fmt.Sprintf("mean mark of %d %s", n, kind)
}
