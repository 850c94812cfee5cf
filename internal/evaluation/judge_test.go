package evaluation

import (
	"math"
	"testing"

	"winnow/datasets"
	"winnow/vlmjudge"
)

// match is what a judge says whose log-odds for A are the difference of widths, with a bias for what is shown first. A width of 13
// makes it abstain.
func match(a, b int, widths []int, bias float64) vlmjudge.Match {
	wa, wb := float64(widths[a]), float64(widths[b])
	first := func(x float64) vlmjudge.Answer { return vlmjudge.Answer{P: 1 / (1 + math.Exp(-x-bias))} }
	c := vlmjudge.Comparison{AFirst: first(wa - wb), BFirst: first(wb - wa)}
	if wa == 13 || wb == 13 {
		c.AFirst, c.BFirst = vlmjudge.Answer{P: 0.5, Abstained: true}, vlmjudge.Answer{P: 0.5, Abstained: true}
		c.Abstained = true
	}
	c.Swapped = vlmjudge.Swap(c.AFirst.P, c.BFirst.P)
	return vlmjudge.Match{A: a, B: b, Comparison: c}
}

func tournament(t *testing.T, bias float64, widths ...int) vlmjudge.Tournament {
	t.Helper()
	var matches []vlmjudge.Match
	for b := range widths {
		for a := range b {
			matches = append(matches, match(a, b, widths, bias))
		}
	}
	out, err := vlmjudge.Tally(len(widths), matches)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The five figures of judge.both_orders, by hand: of three pairs the judge gets one right in both orders, one in one order
// (its bias wins), and abstains on one.
func TestJudgeFigures(t *testing.T) {
	set := NewSet("jsonl")
	c := set.AddScorer("judge")
	for i, widths := range [][]int{{5, 2}, {2, 3}, {13, 3}} {
		rec := &datasets.Record{Kind: datasets.KindPair, Prompt: string(rune('a' + i)), Label: 1, Images: make([]datasets.Image, 2)}
		c.Judge(set.Add(rec), tournament(t, 2, widths...))
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

// A group is judged by all of its pairs.
func TestJudgeGroups(t *testing.T) {
	set := NewSet("jsonl")
	c := set.AddScorer("judge")
	rec := &datasets.Record{Kind: datasets.KindGroup, Prompt: "p", Rank: []float64{1, 3, 2}, Images: make([]datasets.Image, 3)}
	c.Judge(set.Add(rec), tournament(t, 0.5, 5, 1, 3))
	r := c.Result(math.NaN())
	for name, want := range map[string]float64{"judge.consistent": 1, "judge.mean": 1, "imagereward.pair_micro": 1, "best_of_n": 1} {
		if f := figure(t, r, "", name); float64(f.Value) != want {
			t.Errorf("%s: %+v, want %v", name, f, want)
		}
	}
	if f := figure(t, r, "", "judge.consistent"); f.Of != 3 {
		t.Errorf("%+v, want 3 pairs", f)
	}
}
