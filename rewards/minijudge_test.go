package rewards

import (
	"image"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"winnow/internal/miniworld"
	"winnow/vlmjudge"
)

// scenes are pictures and a caption of the first.
func scenes(n int) (string, []image.Image) {
	r := rand.New(rand.NewPCG(8, 9))
	var pictures []image.Image
	caption := ""
	for range n {
		s := miniworld.RandomScene(r)
		if caption == "" {
			caption = miniworld.DescribeFully(s).Caption(r)
		}
		pictures = append(pictures, s.Render())
	}
	return caption, pictures
}

// The embedded judge's tournament is the embedded reward on another scale: differences of strengths are differences of scores over the
// temperature, no answer turns with the order, and every place says that nobody was asked.
func TestOpenReward_miniJudge(t *testing.T) {
	caption, pictures := scenes(5)
	m, err := Open(t.Context(), Mini, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	scores, err := m.Score(t.Context(), caption, pictures)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReward(t.Context(), Judge, "", &Options{Judge: &vlmjudge.Options{URL: Mini}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	strengths, err := r.Score(t.Context(), caption, pictures)
	if err != nil {
		t.Fatal(err)
	}
	for i := range scores {
		want := (scores[i] - scores[0]) / MiniTemperature
		if math.Abs(want) < 4 && math.Abs(strengths[i]-strengths[0]-want) > .02 { // the prior is wide, and not flat
			t.Errorf("picture %d: strength %v above the first, want %v", i, strengths[i]-strengths[0], want)
		}
	}
	tournament := r.(*Tournament)
	counts, about := tournament.Counts(), tournament.Judge().Info()
	if counts.Pairs != 10 || counts.Calls != 20 || counts.Turned != 0 || math.Abs(counts.Bias) > 1e-9 || counts.Tokens.Requests != 0 || counts.Schedule != vlmjudge.AllPairs {
		t.Errorf("%+v", counts)
	}
	info := r.Info()
	if info.Name != "judge:mini" || !strings.Contains(info.Model, "embedded") || info.Width != 64 || about.Protocol != vlmjudge.ProtocolReward || about.URL != "no server" || about.Model != "reward mini" {
		t.Errorf("%+v\n%+v", info, about)
	}
	if err := r.CheckPrompt(strings.Repeat("a red circle ", 40)); err == nil {
		t.Error("a prompt longer than the reward reads was accepted")
	}
	yes, err := OpenReward(t.Context(), VQAScore, "", &Options{Judge: &vlmjudge.Options{URL: Mini}})
	if err != nil {
		t.Fatal(err)
	}
	defer yes.Close()
	p, err := yes.Score(t.Context(), caption, pictures)
	if err != nil {
		t.Fatal(err)
	}
	for i := range p {
		logit := math.Log(p[i] / (1 - p[i]))
		if first := math.Log(p[0] / (1 - p[0])); math.Abs(logit-first-(scores[i]-scores[0])/MiniTemperature) > 1e-6 {
			t.Errorf("picture %d: %v", i, p[i])
		}
	}
	if name := yes.Info().Name; name != "vqascore:mini" {
		t.Error(name)
	}
}

// A cheaper reward that is the judge itself leaves a cascade nothing to correct.
func TestOpenTournament_first(t *testing.T) {
	caption, pictures := scenes(7)
	o := &Options{Judge: &vlmjudge.Options{URL: Mini}, First: Mini, Rank: vlmjudge.RankOptions{Schedule: vlmjudge.Cascade}}
	r, err := OpenTournament(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Tournament(t.Context(), caption, pictures, nil)
	if err != nil || got.Pairs+got.Borrowed != 21 || got.Borrowed == 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	all, err := OpenTournament(t.Context(), &Options{Judge: o.Judge, Rank: vlmjudge.RankOptions{Schedule: vlmjudge.AllPairs}})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	want, err := all.Tournament(t.Context(), caption, pictures, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Strengths {
		if math.Abs(got.Strengths[i]-want.Strengths[i]) > 1e-4 { // LogitMean is clamped, the prior's probability is not
			t.Errorf("picture %d: %v, by all pairs %v", i, got.Strengths[i], want.Strengths[i])
		}
	}
	for name, o := range map[string]Options{
		"cascade alone": {Judge: o.Judge, Rank: o.Rank}, "first": {Judge: o.Judge, First: "nosuch"},
		"budget": {Judge: o.Judge, Rank: vlmjudge.RankOptions{Calls: 1}}, "schedule": {Judge: o.Judge, Rank: vlmjudge.RankOptions{Schedule: "bubble"}},
	} {
		if r, err := OpenTournament(t.Context(), &o); err == nil {
			t.Errorf("%s: accepted", name)
			r.Close()
		}
	}
}
