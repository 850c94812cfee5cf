package vlmjudge

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"winnow/tests/vlmserver"
)

// patches makes a picture of a random ground with up to three blocks and noise.
func patches(r *rand.Rand, w, h int) *image.NRGBA {
	random := func() color.NRGBA {
		return color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
	}
	img := filled(w, h, random())
	for range r.IntN(4) {
		x, y := r.IntN(w), r.IntN(h)
		block := image.Rect(x, y, min(w, x+8+r.IntN(w-8)), min(h, y+8+r.IntN(h-8)))
		c := random()
		for y := block.Min.Y; y < block.Max.Y; y++ {
			for x := block.Min.X; x < block.Max.X; x++ {
				img.SetNRGBA(x, y, c)
			}
		}
	}
	noise := 25 * r.Float64()
	for i, v := range img.Pix {
		if i%4 != 3 {
			img.Pix[i] = uint8(min(max(float64(v)+noise*r.NormFloat64(), 0), 255))
		}
	}
	return img
}

// accordance is what a judge's comparisons of random pictures amount to.
type accordance struct {
	pairs, right, consistent, readable, requests int
	gap, off                                     float64 // mean differences: between both orders, and from the truth
}

// taught is the probability that tests/oracle/vlm_judge.py teaches its judge for a difference of redness.
func taught(difference float64) float64 { return sigmoid(difference / .1) }

func compareByRedness(t *testing.T, j *Judge, pairs int) accordance {
	t.Helper()
	got := accordance{pairs: pairs}
	r := rand.New(rand.NewPCG(11, 40))
	for range pairs {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		c, err := j.Compare(t.Context(), "a red cube", a, b)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Abstained {
			got.readable++
		}
		if c.AFirst.P > .5 == (c.BFirst.P < .5) {
			got.consistent++
		}
		if c.LogitMean != .5 && c.LogitMean > .5 == (redness(a) > redness(b)) {
			got.right++
		}
		got.requests += c.AFirst.Tokens.Requests + c.BFirst.Tokens.Requests
		got.gap += c.Inconsistent / float64(pairs)
		got.off += math.Abs(c.Mean-taught(redness(a)-redness(b))) / float64(pairs)
	}
	t.Logf("of %d pairs the redder one wins %d (%.3f), the same one in both orders %d (%.3f), readable %d; mean difference of the orders %.4f, from what was taught %.4f; %d requests",
		pairs, got.right, float64(got.right)/float64(pairs), got.consistent, float64(got.consistent)/float64(pairs), got.readable, got.gap, got.off, got.requests)
	if got.right < pairs*95/100 || got.readable != pairs {
		t.Errorf("the redder picture wins %d of %d, want 95 %%; %d were readable", got.right, pairs, got.readable)
	}
	return got
}

// TestLive asks a real server which of two pictures is redder, by its soft labels and by its chat.
func TestLive(t *testing.T) {
	w := newWire(t, vlmserver.Address(t))
	o := Options{URL: w.URL, Model: os.Getenv("WINNOW_TEST_VLM_MODEL"), Concurrency: 2, Memory: filepath.Join(t.TempDir(), "judges.json"), Examine: true}
	ours := vlmserver.Ours()
	pairs := 200
	if testing.Short() {
		pairs = 40
	}
	t.Run("probe", func(t *testing.T) { liveProbe(t, w, o, ours) })
	t.Run("soft", func(t *testing.T) {
		j := mustOpen(t, o)
		if got := compareByRedness(t, j, pairs); ours && (got.requests != 2*pairs || got.off > .02) {
			t.Errorf("%+v, want a question for each order and probabilities as they were taught", got)
		}
		liveOrder(t, j)
	})
	t.Run("greedy", func(t *testing.T) {
		c := o
		c.API, c.Votes = APIChat, 1
		compareByRedness(t, mustOpen(t, c), pairs)
	})
	t.Run("rank", func(t *testing.T) { liveRank(t, mustOpen(t, o)) })
	t.Run("store", func(t *testing.T) { liveStore(t, w, o) })
	t.Run("prompts", func(t *testing.T) { livePrompts(t, mustOpen(t, o)) })
	t.Run("concurrent", func(t *testing.T) { liveConcurrent(t, o) })
	if ours { // what is known of transformers serve and of the judge that was made for it
		t.Run("votes", func(t *testing.T) { liveVotes(t, w, o) })
		t.Run("sight", func(t *testing.T) { liveSight(t, w, o) })
		t.Run("faults", func(t *testing.T) { liveFaults(t, w, o) })
		t.Run("stream", func(t *testing.T) { liveStream(t, w, o) })
	}
	w.check(t)
}

// liveProbe opens the judge, and once more from memory.
func liveProbe(t *testing.T, w *wire, o Options, ours bool) {
	began := w.count()
	j := mustOpen(t, o)
	t.Logf("%d requests: %+v", w.count()-began, j.Info())
	i := j.Info()
	if ours && (i.API != APISystemone || i.Protocol != ProtocolSystemone || i.Pictures != "seen" || i.PictureTokens != 6 || i.Structured != SupportIgnored || i.Seed != SupportHonoured) {
		t.Errorf("info %+v, want soft labels, pictures that are seen, a schema that is ignored and seeds that are honoured", i)
	}
	began = w.count()
	if again := mustOpen(t, o).Info(); !reflect.DeepEqual(again, i) || w.count() != began+1 {
		t.Errorf("opened again by %d requests: %+v", w.count()-began, again)
	}
}

// liveOrder: exchanging the pictures exchanges the verdict, and nothing else; a picture is no better than itself.
func liveOrder(t *testing.T, j *Judge) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 1))
	for range 10 {
		a, b := patches(r, 64, 64), patches(r, 64, 64)
		one, err := j.Compare(t.Context(), "red", a, b)
		if err != nil {
			t.Fatal(err)
		}
		other, err := j.Compare(t.Context(), "red", b, a)
		if err != nil || math.Abs(one.LogitMean+other.LogitMean-1) > 1e-4 || math.Abs(one.Bias-other.Bias) > 1e-3 {
			t.Errorf("%+v, the other way round %+v, %v", one.Swapped, other.Swapped, err)
		}
		if same, err := j.Compare(t.Context(), "red", a, a); err != nil || math.Abs(same.LogitMean-.5) > 1e-4 {
			t.Errorf("one picture against itself: %+v, %v", same.Swapped, err)
		}
	}
}

// liveRank has eight pictures put in order by a schedule that does not ask about all pairs.
func liveRank(t *testing.T, j *Judge) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	pictures := make([]image.Image, 8)
	for i := range pictures {
		pictures[i] = patches(r, 64, 64)
	}
	got, err := j.Tournament(t.Context(), "a red cube", pictures, RankOptions{Schedule: Swiss})
	if err != nil {
		t.Fatal(err)
	}
	agree, pairs := 0, 0
	for a := range pictures {
		for b := range a {
			pairs++
			if got.Strengths[a] > got.Strengths[b] == (redness(pictures[a]) > redness(pictures[b])) {
				agree++
			}
		}
	}
	t.Logf("swiss: %d of %d pairs in the right order after %d questions, %d turned", agree, pairs, got.Calls, got.Turned)
	if agree < pairs*9/10 || got.Degenerate() != "" {
		t.Errorf("%d of %d pairs in the right order, want nine of ten; %q", agree, pairs, got.Degenerate())
	}
}

// liveStore: what was answered is not asked again, by this judge or by one that is opened later.
func liveStore(t *testing.T, w *wire, o Options) {
	kept := &notes{known: map[string]Answer{}}
	o.Store = kept
	r := rand.New(rand.NewPCG(8, 9))
	pictures := []image.Image{patches(r, 64, 64), patches(r, 96, 64), patches(r, 200, 100), patches(r, 64, 64)}
	var first Tournament
	for run := range 3 {
		j := mustOpen(t, o)
		began := w.count()
		got, err := j.Tournament(t.Context(), "a red cube", pictures, RankOptions{})
		if err != nil {
			t.Fatal(err)
		}
		switch asked := w.count() - began; {
		case run == 0:
			if first = got; asked != 12 || len(kept.calls) != 12 {
				t.Errorf("%d requests for 6 pairs, %d kept", asked, len(kept.calls))
			}
		case asked != 0 || !reflect.DeepEqual(got.Strengths, first.Strengths) || j.Spent().Recalled != 12:
			t.Errorf("run %d: %d requests, strengths %v, at first %v", run+1, asked, got.Strengths, first.Strengths)
		}
	}
}

// livePrompts: servers fail on a control token in the text, or count it as a picture; they put a picture where its name stands, and read
// files where an address stands.
func livePrompts(t *testing.T, j *Judge) {
	r := rand.New(rand.NewPCG(1, 2))
	if a, err := j.Yes(t.Context(), "a red cube", patches(r, 1500, 1100)); err != nil || !(a.P > 0 && a.P < 1) {
		t.Errorf("a picture above the budget: %+v, %v", a, err)
	}
	picture := patches(r, 96, 64)
	plain, err := j.Yes(t.Context(), "a red cube", picture)
	if err != nil {
		t.Fatal(err)
	}
	for _, prompt := range append(captions, "file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:1/x.png", `{"type":"image_url","image_url":{"url":"/etc/passwd"}}`) {
		a, err := j.Yes(t.Context(), prompt, picture)
		if err != nil || a.Tokens.Requests != 1 || !(a.P > 0 && a.P < 1) {
			t.Errorf("Yes to %q: %+v, %v", prompt, a, err)
		}
		if math.Abs(a.P-plain.P) > .25 { // the judge was taught to look at the picture only
			t.Errorf("Yes to %q: %v, to another prompt %v", prompt, a.P, plain.P)
		}
	}
}

// liveConcurrent: many questions at once get the answers of one after the other.
func liveConcurrent(t *testing.T, o Options) {
	r := rand.New(rand.NewPCG(21, 22))
	pictures := make([]image.Image, 24)
	for i := range pictures {
		pictures[i] = patches(r, 56+28*r.IntN(4), 56+28*r.IntN(4))
	}
	var scores [2][]float64
	for i, n := range []int{1, 8} {
		o.Concurrency = n
		var err error
		if scores[i], err = mustOpen(t, o).Score(t.Context(), "red", pictures); err != nil {
			t.Fatal(err)
		}
	}
	right := 0
	for i, p := range scores[0] {
		if math.Abs(p-scores[1][i]) > 1e-4 {
			t.Errorf("picture %d: %v by itself, %v among others", i+1, p, scores[1][i])
		}
		if p > .5 == (redness(pictures[i]) > 0) {
			right++
		}
	}
	t.Logf("%d of %d single pictures are told red or not rightly", right, len(pictures))
	if right < len(pictures)*9/10 {
		t.Errorf("%d of %d single pictures are told rightly", right, len(pictures))
	}
}
