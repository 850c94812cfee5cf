package vlmjudge

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// shade is a picture whose grey says how good it is: strength k/10.
func shade(k int) image.Image { return filled(8, 8, color.Gray{uint8(128 + k)}) }

func goodness(img image.Image) float64 {
	r, _, _, _ := img.At(0, 0).RGBA()
	return (float64(r>>8) - 128) / 10
}

// fair answers pairs by the Bradley-Terry model with a bias for what is shown first.
func fair(bias float64) func(w http.ResponseWriter, a asked) {
	return func(w http.ResponseWriter, a asked) {
		if !a.pair() {
			serious(w, a)
			return
		}
		x := goodness(a.pictures[0]) - goodness(a.pictures[1]) + bias
		weigh(w, a, -softplus(-x), -softplus(x))
	}
}

func newSeries(t *testing.T, j *Judge, o SeriesOptions) *Series {
	t.Helper()
	s, err := j.Series("a prompt", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A judge that answers by the model, whatever its bias for a position, gives the strengths back, on the scale of the first picture;
// a score depends neither on what comes later nor on how pictures are batched once there are some to be compared with.
func TestSeries_strengths(t *testing.T) {
	j := mustOpen(t, quick(newFake(t, fair(.7)).URL))
	good := []int{5, -20, 12, 30, -7, 8, 28, 1, -30, 33, 34, 0}
	images := make([]image.Image, len(good))
	for i, k := range good {
		images[i] = shade(k)
	}
	want := newSeries(t, j, SeriesOptions{})
	whole, err := want.Score(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range good {
		near(t, fmt.Sprint("strength of picture ", i), whole[i], float64(k-good[0])/10, .06)
	}
	for _, size := range []int{1, 5} {
		s := newSeries(t, j, SeriesOptions{})
		var got []float64
		for part := range slices.Chunk(images, size) {
			some, err := s.Score(t.Context(), part)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, some...)
		}
		for i := range got {
			near(t, fmt.Sprintf("picture %d in batches of %d", i, size), got[i], whole[i], .06)
		}
		if c := s.Counts(); c.Pairs > 4*len(good)+1 || c.Pairs < 3*len(good)-5 || c.Abstained+c.Failed > 0 || c.Tokens.Requests != 2*c.Pairs {
			t.Errorf("%+v", c)
		}
		if len(s.pool) != 8 || slices.IndexFunc(s.pool, func(r rated) bool { return r.score == slices.Max(got) }) != 7 {
			t.Errorf("%d pictures are remembered: %v", len(s.pool), s.pool)
		}
	}
}

// A series that is told what another gave goes on as that one does.
func TestSeries_Recall(t *testing.T) {
	j := mustOpen(t, quick(newFake(t, fair(0)).URL))
	a, b := newSeries(t, j, SeriesOptions{Comparisons: 2, Anchors: 4}), newSeries(t, j, SeriesOptions{Comparisons: 2, Anchors: 4})
	for _, part := range [][]int{{3}, {1, 9, -4}, {12, 0, 2, 7}, {-20, 5}} {
		var images []image.Image
		for _, k := range part {
			images = append(images, shade(k))
		}
		scores, err := a.Score(t.Context(), images)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Recall(images, scores); err != nil {
			t.Fatal(err)
		}
	}
	want, err := a.Score(t.Context(), []image.Image{shade(4), shade(30)})
	got, err2 := b.Score(t.Context(), []image.Image{shade(4), shade(30)})
	if err != nil || err2 != nil || !slices.Equal(got, want) || len(a.pool) != 4 {
		t.Errorf("%v, want %v (%v, %v)", got, want, err, err2)
	}
	if c := b.Counts(); c.Pairs == 0 || c.Pairs >= a.Counts().Pairs {
		t.Errorf("%+v", c)
	}
}

// Pictures that the judge says nothing about, or fails on, have no score, and nobody is measured by them, the first one included.
func TestSeries_unreadable(t *testing.T) {
	j := mustOpen(t, quick(newFake(t, func(w http.ResponseWriter, a asked) {
		bad := func(k int) bool {
			return slices.ContainsFunc(a.pictures, func(img image.Image) bool { return math.Round(10*goodness(img)) == float64(k) })
		}
		switch {
		case a.pair() && bad(99):
			say(w, a, "I cannot help with that.")
		case a.pair() && bad(-99):
			http.Error(w, `{"detail":"the picture cannot be read"}`, http.StatusBadRequest)
		default:
			fair(0)(w, a)
		}
	}).URL))
	s := newSeries(t, j, SeriesOptions{})
	got, err := s.Score(t.Context(), []image.Image{shade(99), shade(-99), shade(2), shade(9), shade(99), shade(-99), shade(4)})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range []float64{math.NaN(), math.NaN(), 0, .7, math.NaN(), math.NaN(), .2} {
		if math.IsNaN(v) != math.IsNaN(got[i]) || !math.IsNaN(v) && math.Abs(got[i]-v) > .01 {
			t.Errorf("picture %d: %v, want %v", i, got[i], v)
		}
	}
	if c := s.Counts(); c.Abstained < 2 || c.Failed < 2 {
		t.Errorf("%+v", c)
	}
	before := slices.Clone(s.pool)
	if got, err := s.Score(t.Context(), []image.Image{shade(99)}); err != nil || !math.IsNaN(got[0]) {
		t.Errorf("no readable answer: %v, %v", got, err)
	}
	if got, err := s.Score(t.Context(), []image.Image{shade(-99), shade(-99)}); err == nil {
		t.Errorf("nothing but failures: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Score(ctx, []image.Image{shade(1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := s.Score(t.Context(), []image.Image{nil}); err == nil {
		t.Error("no picture: accepted")
	}
	if !slices.Equal(s.pool, before) {
		t.Error("what has no score is remembered")
	}
	for _, o := range []SeriesOptions{{Comparisons: -1}, {Comparisons: 4, Anchors: 4}} {
		if _, err := j.Series("p", o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
	if _, err := j.Series(strings.Repeat(" ", 3), SeriesOptions{}); err == nil {
		t.Error("no prompt: accepted")
	}
}

// The best of 16 by a judge of sampled answers, which lapses and likes the first position, is far better than one at random, and as
// good as by a judge without noise most of the time.
func TestSeries_noisyJudge(t *testing.T) {
	const trials, n = 8, 16
	var trial atomic.Uint64
	j := mustOpen(t, Options{URL: newFake(t, func(w http.ResponseWriter, a asked) {
		if !a.pair() {
			say(w, a, "Yes")
			return
		}
		x := goodness(a.pictures[0]) - goodness(a.pictures[1]) + .5
		// An answer depends on what is asked, not on when.
		asked := math.Float64bits(goodness(a.pictures[0])) ^ math.Float64bits(goodness(a.pictures[1]))<<1
		answer := "2"
		if rand.New(rand.NewPCG(asked, trial.Load())).Float64() < sigmoid(x)*.95+.025 {
			answer = "1"
		}
		say(w, a, answer)
	}).URL, Model: "m", Votes: 1, Concurrency: 1, wait: 1})
	draw := rand.New(rand.NewPCG(5, 6))
	var rank, sum float64
	firsts := 0
	for range trials {
		trial.Add(1)
		s := newSeries(t, j, SeriesOptions{})
		good, scores, truth := make([]int, n), []float64(nil), make([]float64, n)
		for i := range good {
			good[i] = min(127, max(-127, int(math.Round(25*draw.NormFloat64()))))
			truth[i] = float64(good[i])
		}
		for part := range slices.Chunk(good, 4) {
			var images []image.Image
			for _, k := range part {
				images = append(images, shade(k))
			}
			some, err := s.Score(t.Context(), images)
			if err != nil {
				t.Fatal(err)
			}
			scores = append(scores, some...)
		}
		best := slices.Index(scores, slices.Max(scores))
		place := 1
		for _, v := range truth {
			if v > truth[best] {
				place++
			}
		}
		if rank += float64(place) / trials; place == 1 {
			firsts++
		}
		sum += tau(scores, truth) / trials
	}
	t.Logf("mean rank of the best %.2f, %d of %d are the best, tau %.2f", rank, firsts, trials, sum)
	// By chance: rank 8.5, first in half of 8, tau 0.
	if rank > 3.5 || firsts < 3 || sum < .5 {
		t.Errorf("mean rank of the best %.2f, %d of %d are the best, tau %.2f", rank, firsts, trials, sum)
	}
}
