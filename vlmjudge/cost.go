package vlmjudge

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// EstimateOptions describe questions that are not asked yet.
type EstimateOptions struct {
	Groups, Pictures  int         // prompts, and pictures of each
	Width, Height     int         // of a picture, in pixels
	Family            string      // "": Qwen2VL
	PixelBudget       int         // 0: 1280·28²
	Single            bool        // pictures are asked about one by one, and not compared
	Marks             bool        // each by a mark
	Wordings          []*Wording  // in the place of winnow's own
	Reason            bool        // the judge gives reasons, 1024 tokens unless AnswerTokens are set
	Rank              RankOptions // of comparisons
	Answers           int         // sampled for a question, where there are no label probabilities; 0: 1
	AnswerTokens      int         // of one answer; 0: 1
	PromptTokens      int         // of a prompt; 0: 30
	PriceIn, PriceOut float64     // of a million tokens
	Seconds           float64     // of a question
	Concurrency       int         // questions at once; 0: 8
}

// Estimate is what questions will cost at most.
type Estimate struct {
	Calls         int     `json:"calls"`
	Picture       Seen    `json:"-"`
	PictureTokens int     `json:"picture_tokens"`
	TextTokens    int     `json:"text_tokens"` // at 4 letters a token, and those of the prompt
	AnswerTokens  int     `json:"answer_tokens"`
	Money         float64 `json:"money"`
	Seconds       float64 `json:"seconds"`
}

// lettersPerToken is the usual estimate for English.
const lettersPerToken = 4

// Estimate counts questions by the schedule and tokens by the family of models.
func (o EstimateOptions) Estimate() (Estimate, error) {
	fill(&o.Family, Qwen2VL)
	fill(&o.Answers, 1)
	if (Options{Wordings: o.Wordings, Reason: o.Reason}).thinks() {
		fill(&o.AnswerTokens, longAnswer)
	}
	fill(&o.AnswerTokens, 1)
	fill(&o.PromptTokens, 30)
	fill(&o.Concurrency, 8)
	var e Estimate
	for _, v := range []float64{float64(o.Groups), float64(o.Pictures), float64(o.Answers), float64(o.AnswerTokens), float64(o.PromptTokens), float64(o.Concurrency), o.PriceIn, o.PriceOut, o.Seconds} {
		if !(v >= 0) || math.IsInf(v, 1) {
			return e, errors.New("vlmjudge: an estimate of negative or endless numbers")
		}
	}
	var err error
	if e.Picture, err = Sees(o.Family, o.Width, o.Height, o.PixelBudget); err != nil {
		return e, err
	}
	questions, err := choose(o.Wordings, o.Reason)
	if err != nil {
		return e, err
	}
	t, shown := questions.yes, 1
	if o.Marks {
		t = questions.marks
	}
	e.Calls = o.Groups * o.Pictures
	if !o.Single {
		if err := o.Rank.Check(); err != nil {
			return e, err
		}
		pairs, err := MaxPairs(o.Pictures, o.Rank)
		if err != nil {
			return e, err
		}
		t, shown, e.Calls = questions.pair, 2, 2*pairs*o.Groups
	}
	requests := e.Calls // of which each may sample several answers
	e.PictureTokens = requests * shown * e.Picture.Tokens
	e.TextTokens = requests * (t.letters()/lettersPerToken + o.PromptTokens)
	e.AnswerTokens = requests * o.Answers * o.AnswerTokens
	e.Money = Limits{PriceIn: o.PriceIn, PriceOut: o.PriceOut}.Price(Tokens{Prompt: e.PictureTokens + e.TextTokens, Completion: e.AnswerTokens})
	e.Seconds = o.Seconds * math.Ceil(float64(e.Calls)/float64(o.Concurrency))
	return e, nil
}

func (t template) letters() int {
	n := len(t.System)
	for _, p := range t.Parts {
		if p != pictureMark {
			n += len(p)
		}
	}
	return n
}

// String is the estimate in one line.
func (e Estimate) String() string {
	return fmt.Sprintf("at most %d questions, %d tokens of pictures, %d of text, %d of answers, %v", e.Calls, e.PictureTokens, e.TextTokens, e.AnswerTokens,
		time.Duration(e.Seconds*float64(time.Second)).Round(time.Second))
}
