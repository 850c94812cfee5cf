package evaluation

import (
	"context"
	"errors"
	"image"
	"math"
	"testing"

	"winnow/datasets"
	"winnow/vlmjudge"
)

// wideJudge likes wide pictures, and whatever is shown first by bias log-odds. Pictures 13 wide make it abstain, 99 wide fail.
type wideJudge struct{ bias float64 }

func (j wideJudge) Compare(_ context.Context, _ string, a, b image.Image) (vlmjudge.Comparison, error) {
	wa, wb := float64(a.Bounds().Dx()), float64(b.Bounds().Dx())
	if wa == 99 || wb == 99 {
		return vlmjudge.Comparison{}, errors.New("down")
	}
	first := func(x float64) vlmjudge.Answer { return vlmjudge.Answer{P: 1 / (1 + math.Exp(-x-j.bias))} }
	c := vlmjudge.Comparison{AFirst: first(wa - wb), BFirst: first(wb - wa)}
	if wa == 13 || wb == 13 {
		c.AFirst, c.BFirst = vlmjudge.Answer{P: 0.5, Abstained: true}, vlmjudge.Answer{P: 0.5, Abstained: true}
		c.Abstained = true
	}
	c.Swapped = vlmjudge.Swap(c.AFirst.P, c.BFirst.P)
	return c, nil
}

func ofWidth(widths ...int) []image.Image {
	var out []image.Image
	for _, w := range widths {
		out = append(out, image.NewNRGBA(image.Rect(0, 0, w, 1)))
	}
	return out
}

func TestJudgeAll(t *testing.T) {
	scores, verdicts, err := JudgeAll(t.Context(), wideJudge{bias: 2}, "p", ofWidth(3, 1, 2))
	if err != nil || len(verdicts) != 3 || !(scores[0] > scores[2] && scores[2] > scores[1]) {
		t.Fatalf("%v, %v, %v", scores, verdicts, err)
	}
	if v := verdicts[0]; v.First != 0 || v.Second != 1 || math.Abs(v.ShownFirst-1/(1+math.Exp(-4))) > 1e-12 || math.Abs(v.ShownSecond-(1-1/(1+math.Exp(0)))) > 1e-12 {
		t.Errorf("%+v", v)
	}
	scores, _, err = JudgeAll(t.Context(), wideJudge{bias: 2}, "p", ofWidth(5, 6))
	if err != nil || math.Abs(scores[0]-scores[1]+1) > 1e-9 || scores[0]+scores[1] != 0 {
		t.Errorf("two pictures: %v, %v; want log-odds of -1 without the bias", scores, err)
	}
	scores, verdicts, err = JudgeAll(t.Context(), wideJudge{}, "p", ofWidth(13, 6))
	if err != nil || scores[0] != 0 || !math.IsNaN(verdicts[0].ShownFirst) || !math.IsNaN(verdicts[0].ShownSecond) {
		t.Errorf("abstaining: %v, %v, %v", scores, verdicts, err)
	}
	if _, _, err := JudgeAll(t.Context(), wideJudge{}, "p", ofWidth(99, 6)); err == nil {
		t.Error("a failing judge was taken for an answer")
	}
}

// The five figures of judge.both_orders, by hand: of three pairs the judge gets one right in both orders, one in one order
// (its bias wins), and abstains on one.
func TestJudgeFigures(t *testing.T) {
	set := NewSet("jsonl")
	c := set.AddScorer("judge")
	for i, widths := range [][]int{{5, 2}, {2, 3}, {13, 3}} {
		rec := &datasets.Record{Kind: datasets.KindPair, Prompt: string(rune('a' + i)), Label: 1, Images: make([]datasets.Image, 2)}
		scores, verdicts, err := JudgeAll(t.Context(), wideJudge{bias: 2}, rec.Prompt, ofWidth(widths...))
		if err != nil {
			t.Fatal(err)
		}
		at := set.Add(rec)
		c.Score(at, scores)
		c.Judge(at, verdicts)
	}
	r := c.Result(math.NaN())
	p := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	// Pair 1 shows widths 5 and 2: P(first) = σ(3+2); swapped P(first) = σ(-3+2). Pair 2: σ(-1+2), swapped σ(1+2).
	soft := ((p(5)+1-p(-1))/2 + (p(1)+1-p(3))/2) / 2
	bias := ((p(5)+p(-1))/2+(p(1)+p(3))/2)/2 - 0.5
	for name, want := range map[string]float64{
		"judge.consistent": 0.5, "judge.mean": 0.75, "judge.soft": soft, "judge.position_bias": bias, "judge.abstained": 1. / 3,
	} {
		if f := figure(t, r, "", name); math.Abs(float64(f.Value)-want) > 1e-12 {
			t.Errorf("%s: %+v, want %v", name, f, want)
		}
	}
	if f := figure(t, r, "", "pickapic.no_ties"); f.Of != 3 || math.Abs(float64(f.Value)-1./3) > 1e-12 {
		t.Errorf("%+v, want 1 of 3 (a tie is wrong)", f)
	}
}
