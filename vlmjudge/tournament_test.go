package vlmjudge

import (
	"errors"
	"image"
	"math"
	"net/http"
	"sync/atomic"
	"testing"
)

// comparison is a verdict of a judge whose log-odds for A are x, with a bias for the picture shown first.
func comparison(x, bias float64) Comparison {
	first := func(x float64) Answer { return Answer{P: 1 / (1 + math.Exp(-x)), Protocol: ProtocolLogprobs} }
	a, b := first(x+bias), first(-x+bias)
	return Comparison{Swapped: Swap(a.P, b.P), AFirst: a, BFirst: b, Protocol: ProtocolLogprobs}
}

func TestTally(t *testing.T) {
	matches := func(verdicts ...Comparison) (out []Match) {
		for i, v := range verdicts {
			pair := [][2]int{{0, 1}, {0, 2}, {1, 2}}[i]
			out = append(out, Match{pair[0], pair[1], v})
		}
		return out
	}
	got, err := Tally(3, matches(comparison(2, 1), comparison(4, 1), comparison(.5, 1)))
	if err != nil {
		t.Fatal(err)
	}
	// The bias cancels, so that the wins are those of the plain log-odds; it turns the third pair, whose odds are smaller.
	p := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	want, err := BradleyTerryPrior([][]float64{{0, p(2), p(4)}, {p(-2), 0, p(.5)}, {p(-4), p(-.5), 0}}, 30)
	if err != nil {
		t.Fatal(err)
	}
	nearAll(t, "strengths", got.Strengths, want.Theta, 1e-9)
	if got.Pairs != 3 || got.Turned != 1 || got.Abstained != 0 || got.Triples != 1 || got.Cyclic != 0 || math.Abs(got.Bias-1) > 1e-9 {
		t.Errorf("%+v", got)
	}
	silent := Comparison{Swapped: Swap(.5, .5), Abstained: true, AFirst: Answer{P: .5}, BFirst: Answer{P: .5}}
	round, err := Tally(3, matches(comparison(1, 0), comparison(-1, 0), comparison(1, 0)))
	if err != nil || round.Cyclic != 1 || math.Abs(round.Strengths[0]) > 1e-9 {
		t.Errorf("a circle: %+v, %v", round, err)
	}
	tie, err := Tally(2, matches(silent))
	if err != nil || tie.Abstained != 1 || tie.Bias != 0 || tie.Strengths[0] != 0 {
		t.Errorf("abstained: %+v, %v", tie, err)
	}
	if sum := got.Add(tie).Add(round); sum.Pairs != 7 || sum.Abstained != 1 || sum.Turned != 1 || sum.Cyclic != 1 || sum.Triples != 2 || math.Abs(sum.Bias-.5) > 1e-9 {
		t.Errorf("sum %+v", sum)
	}
	if _, err := Tally(3, matches(comparison(1, 0), silent, silent)); err == nil {
		t.Error("answers of different protocols in one tournament")
	}
}

func TestJudge_Tournament(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, a asked) {
		if len(a.pictures) == 2 && a.pictures[0].Bounds().Dx() == 99 {
			http.Error(w, `{"detail":"no"}`, http.StatusBadRequest)
			return
		}
		say(w, a, map[bool]string{true: "1", false: "2"}[len(a.pictures) == 2 && a.pictures[0].Bounds().Dx() > a.pictures[1].Bounds().Dx()])
	})
	j, err := Open(t.Context(), Options{URL: f.URL, Votes: 1, Concurrency: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	wide := func(widths ...int) (images []image.Image) {
		for _, w := range widths {
			images = append(images, image.NewGray(image.Rect(0, 0, w, 30)))
		}
		return images
	}
	var done atomic.Int32
	before := len(f.requests())
	got, err := j.Tournament(t.Context(), "wide", wide(40, 60, 30, 50), RankOptions{OnPair: func() { done.Add(1) }})
	if err != nil || done.Load() != 6 || len(f.requests())-before != 12 || got.Pairs != 6 || got.Turned != 0 {
		t.Fatalf("%+v, %d pairs, %d questions, %v", got, done.Load(), len(f.requests())-before, err)
	}
	if s := got.Strengths; !(s[1] > s[3] && s[3] > s[0] && s[0] > s[2]) {
		t.Errorf("strengths %v", s)
	}
	for _, n := range []int{0, 1} {
		if got, err := j.Tournament(t.Context(), "wide", wide(40)[:n], RankOptions{}); err != nil || len(got.Strengths) != n || got.Pairs != 0 {
			t.Errorf("%d pictures: %+v, %v", n, got, err)
		}
	}
	if got, err := j.Tournament(t.Context(), "wide", wide(99, 40, 50), RankOptions{}); err != nil || got.Failed != 2 || got.Unmet() != 1 || got.Met[0] != 0 || !(got.Strengths[2] > got.Strengths[1]) {
		t.Errorf("a picture that the server refuses: %+v, %v", got, err)
	}
	var se *ServerError
	if _, err := j.Tournament(t.Context(), "wide", wide(99, 40), RankOptions{}); !errors.As(err, &se) {
		t.Errorf("a failing judge: %v", err)
	}
	if _, err := j.Tournament(t.Context(), "wide", []image.Image{nil}, RankOptions{}); err == nil {
		t.Error("no picture accepted")
	}
}
