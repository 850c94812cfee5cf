package vlmjudge

import (
	"context"
	"fmt"
	"image"
	"slices"
	"strings"
)

// Comparison is which of two pictures, A and B, a judge prefers.
type Comparison struct {
	Swapped
	// The answers to "is the first better", with A and with B shown first. P, Raw and Mass are about the position.
	AFirst Answer `json:"a_first"`
	BFirst Answer `json:"b_first"`
	// Abstained is set when either answer was not one of the labels. Swapped then prefers neither.
	Abstained bool     `json:"abstained,omitempty"`
	Protocol  Protocol `json:"protocol"`
}

// UnreadableError is a picture on which the judge gave none of the labels as answer.
type UnreadableError struct {
	Index int    // of the picture, from 0
	Reply string // shortened; untrusted

	labels []string
}

// Reason is what the judge did, without the number of the picture.
func (e *UnreadableError) Reason() string {
	return fmt.Sprintf("the judge answered neither %s but %q", strings.Join(e.labels, " nor "), e.Reply)
}

// Error names the picture by its number, from 1.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("vlmjudge: picture %d: %s; use a judge that follows the instruction, or allow longer answers", e.Index+1, e.Reason())
}

// Yes is how probable the judge says Yes when it is asked whether the picture shows the prompt: the measure known as
// VQAScore, with the two labels renormalised in P and as it stands in Raw.
func (j *Judge) Yes(ctx context.Context, prompt string, img image.Image) (Answer, error) {
	if err := checkPicture("the picture", img); err != nil {
		return Answer{}, err
	}
	return j.answer(ctx, j.asks.yes, prompt, img)
}

// Labels are the answers that count to a question: "pair", "yes" or "marks".
func (j *Judge) Labels(question string) []string {
	t, ok := map[string]template{questionPair: j.asks.pair, questionYes: j.asks.yes, questionMarks: j.asks.marks}[question]
	if !ok {
		return nil
	}
	return slices.Clone(t.Labels)
}

// YesFormula is what [Judge.Yes] gives, in the labels of the question.
func (j *Judge) YesFormula() string {
	l := j.asks.yes.Labels
	return fmt.Sprintf("p(%[1]s)/(p(%[1]s)+p(%[2]s))", l[0], l[1])
}

// Score is [Judge.Yes].P of each picture, within (0, 1). A picture without a readable answer is an *UnreadableError: no
// score is invented for it.
func (j *Judge) Score(ctx context.Context, prompt string, images []image.Image) ([]float64, error) {
	prompts := make([]string, len(images))
	for i := range prompts {
		prompts[i] = prompt
	}
	return j.ScoreEach(ctx, prompts, images)
}

// ScoreEach is [Judge.Score] for pictures that each have a prompt of their own: prompts[i] belongs to images[i].
func (j *Judge) ScoreEach(ctx context.Context, prompts []string, images []image.Image) ([]float64, error) {
	if len(prompts) != len(images) {
		return nil, fmt.Errorf("vlmjudge: %d prompts for %d pictures", len(prompts), len(images))
	}
	for i, img := range images {
		if err := checkPicture(fmt.Sprintf("picture %d", i+1), img); err != nil {
			return nil, err
		}
	}
	answers := make([]Answer, len(images))
	err := each(ctx, len(images), j.options.Concurrency, func(ctx context.Context, i int) (err error) {
		answers[i], err = j.answer(ctx, j.asks.yes, prompts[i], images[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	scores := make([]float64, len(images))
	for i, a := range answers {
		if a.Abstained {
			return nil, &UnreadableError{Index: i, Reply: tidy(a.Replies[0], ""), labels: j.asks.yes.Labels}
		}
		if err := alike(answers[0], a); err != nil {
			return nil, err
		}
		scores[i] = a.P
	}
	return scores, nil
}

// Compare asks which picture fits the prompt better, once in each order. Both are sent under the same pixel budget.
func (j *Judge) Compare(ctx context.Context, prompt string, a, b image.Image) (Comparison, error) {
	orders := [2][2]image.Image{{a, b}, {b, a}}
	for i, what := range []string{"picture A", "picture B"} {
		if err := checkPicture(what, orders[0][i]); err != nil {
			return Comparison{}, err
		}
	}
	var answers [2]Answer
	err := each(ctx, 2, 2, func(ctx context.Context, i int) (err error) {
		answers[i], err = j.answer(ctx, j.asks.pair, prompt, orders[i][:]...)
		return err
	})
	if err == nil {
		err = alike(answers[0], answers[1])
	}
	if err != nil {
		return Comparison{}, err
	}
	c := Comparison{Swapped: Swap(answers[0].P, answers[1].P), AFirst: answers[0], BFirst: answers[1], Protocol: answers[0].Protocol}
	if c.Abstained = answers[0].Abstained || answers[1].Abstained; c.Abstained {
		c.Swapped = Swap(.5, .5)
	}
	return c, nil
}

// alike refuses to put numbers of different protocols side by side.
func alike(a, b Answer) error {
	if a.Protocol == b.Protocol {
		return nil
	}
	return fmt.Errorf("vlmjudge: the server gave label probabilities for some answers and none for others (%s, %s); their numbers "+
		"cannot be compared; is it several servers behind one address?", a.Protocol, b.Protocol)
}
