package vlmjudge

import (
	"math"
	"strings"
	"testing"
)

// The example of Qwen2.5-VL's cap: 1024×1024 is 1,225 tokens, all pairs of 8 in both orders 56 questions.
func TestEstimate(t *testing.T) {
	e, err := EstimateOptions{Groups: 10, Pictures: 8, Width: 1024, Height: 1024, Rank: RankOptions{Schedule: AllPairs}, PriceIn: 2, PriceOut: 10, Seconds: 2, Concurrency: 4}.Estimate()
	if err != nil {
		t.Fatal(err)
	}
	if e.Calls != 560 || e.PictureTokens != 560*2*1225 || e.AnswerTokens != 560 || e.Seconds != 280 {
		t.Errorf("%+v", e)
	}
	if want := (float64(e.PictureTokens+e.TextTokens)*2 + 560*10) / 1e6; math.Abs(e.Money-want) > 1e-12 {
		t.Errorf("money %v, want %v", e.Money, want)
	}
	if e.TextTokens < 560*40 || e.TextTokens > 560*200 {
		t.Errorf("%d tokens of text", e.TextTokens)
	}
	e, err = EstimateOptions{Groups: 3, Pictures: 4, Width: 100, Height: 100, Family: Gemma3, Single: true, Answers: 5, AnswerTokens: 16}.Estimate()
	if err != nil || e.Calls != 12 || e.PictureTokens != 12*256 || e.AnswerTokens != 12*80 || !strings.HasPrefix(e.String(), "at most 12 questions, 3072 tokens of pictures") {
		t.Errorf("%+v, %v", e, err)
	}
	for _, o := range []EstimateOptions{{Width: 1, Height: 1, Seconds: -1}, {Width: 1, Height: 1, PriceIn: math.NaN()}, {}, {Width: 9, Height: 9, Rank: RankOptions{Schedule: "bubble"}}} {
		if _, err := o.Estimate(); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
