package evaluation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/datasets"
	"winnow/vlmjudge"
)

// sureJudge is a judge that is twice as sure as people's choices are, in log-odds, and prefers the first place by bias.
func sureJudge(n int, bias float64) *Scorer {
	rng := rand.New(rand.NewPCG(1, 2))
	s := NewSet("jsonl")
	c := s.AddScorer("judge")
	for i := range n {
		truth := 2 * rng.NormFloat64()
		label := 0.
		if rng.Float64() < 1/(1+math.Exp(-truth)) {
			label = 1
		}
		rec := datasets.Record{Kind: datasets.KindPair, Prompt: fmt.Sprint("prompt ", i), Label: label, Images: make([]datasets.Image, 2)}
		at := s.Add(&rec)
		sigma := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
		aFirst, bFirst := sigma(2*truth+bias), sigma(-2*truth+bias)
		v := vlmjudge.Comparison{Swapped: vlmjudge.Swap(aFirst, bFirst), AFirst: vlmjudge.Answer{P: aFirst}, BFirst: vlmjudge.Answer{P: bFirst}}
		c.Judge(at, vlmjudge.Tournament{Strengths: []float64{0, 0}, Matches: []vlmjudge.Match{{A: 0, B: 1, Comparison: v}}})
	}
	return c
}

// The fit finds how sure the judge should be and takes its bias out; figures get better on prompts that it was not fitted on.
func TestCalibrateJudge(t *testing.T) {
	c := sureJudge(3000, 1.5)
	r, err := c.CalibrateJudge("")
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(r.Scale-.5) > .05 || r.Pairs != 3000 || len(r.Tried) != 2 {
		t.Errorf("%+v", r)
	}
	if !(r.After.LogLoss < r.Before.LogLoss-.05 && r.After.ECE < .03 && r.Before.ECE > .05 && r.After.Brier < r.Before.Brier) || r.After.Correct != r.Before.Correct {
		t.Errorf("before %+v, after %+v", r.Before, r.After)
	}
	p, err := c.CalibrateJudge(Platt)
	if err != nil || p.Method != Platt || p.After.Method != Platt || math.Abs(p.Scale-.5) > .05 || math.Abs(p.Shift+.75) > .1 {
		t.Errorf("%+v, %v", p, err)
	}
	if q, err := c.CalibrateJudge(Temperature); err != nil || q.Method != Temperature || q.Shift != 0 || q.After.Method != Temperature {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := c.CalibrateJudge("cubic"); err == nil {
		t.Error("an unknown method is taken")
	}
	if _, err := sureJudge(20, 0).CalibrateJudge(""); err == nil {
		t.Error("20 pairs are taken")
	}
}
