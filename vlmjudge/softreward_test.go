package vlmjudge

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// softGolden is tests/golden/softreward.json, written by tests/oracle/softreward.py.
type softGolden struct {
	Grades []struct {
		Completion     string
		Truth          Truth
		P              *float64
		Direct         bool
		Weights        [3]float64
		Order, Brier   *float64
		Format, Reward float64
	}
	Groups []struct {
		P        [][]float64
		WinRate  []float64 `json:"win_rate"`
		Strength []float64
		Rank     []float64
		Rankings [][]int
		Sampled  []float64
	}
}

func readSoft(t *testing.T) softGolden {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/softreward.json")
	if err != nil {
		t.Fatal(err)
	}
	var g softGolden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Grades) < 250 || len(g.Groups) != 3 {
		t.Fatalf("the golden file is incomplete: %d grades", len(g.Grades))
	}
	return g
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func TestGrade_oracle(t *testing.T) {
	same := func(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-12 }
	for _, c := range readSoft(t).Grades {
		g := Grader{Order: c.Weights[0], Brier: c.Weights[1], Format: c.Weights[2], Direct: c.Direct}
		got, err := g.Grade(c.Completion, c.Truth, orNaN(c.P))
		if err != nil {
			t.Fatal(err)
		}
		if !same(got.Order, orNaN(c.Order)) || !same(got.Brier, orNaN(c.Brier)) || got.Format != c.Format || !same(got.Reward, c.Reward) {
			truth, _ := json.Marshal(c.Truth)
			t.Errorf("%q, truth %s, p %v: %+v; want order %v, Brier %v, format %v, reward %v", c.Completion, truth, orNaN(c.P), got, orNaN(c.Order), orNaN(c.Brier), c.Format, c.Reward)
		}
	}
}

// An honest probability has the greatest expected reward, an unreadable answer the least.
func TestGrade_proper(t *testing.T) {
	share := .7
	expected := func(answer string) float64 {
		sum := 0.
		for outcome, weight := range map[float64]float64{1: share, 0: 1 - share} {
			g, err := Grader{Brier: 1}.Grade("<think>x</think><answer>"+answer+"</answer>", Truth{Share: &outcome}, math.NaN())
			if err != nil {
				t.Fatal(err)
			}
			sum += weight * g.Reward
		}
		return sum
	}
	for _, other := range []string{"0.69", "0.71", "0.5", "1", "2"} {
		if expected("0.70") <= expected(other) {
			t.Errorf("%s pays as much as the true share: %v, %v", other, expected(other), expected("0.70"))
		}
	}
	if expected("neither") != 0 {
		t.Errorf("an unreadable answer: %v", expected("neither"))
	}
}

func TestTruth_refused(t *testing.T) {
	for _, bad := range []string{
		`{}`, `{"share":1.1}`, `{"share":-0.1}`, `{"share":0.5,"ranks":[1,2]}`, `{"ranks":[1]}`, `{"ranks":[]}`, `{"share":null}`, `"no json"`, `5`,
		`{"ranks":[` + strings.Repeat("1,", MaxList) + `1]}`,
	} {
		var v Truth
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s was taken: %+v", bad, v)
		}
	}
	for _, good := range []string{`{"share":0}`, `"{\"share\":0.5}"`, `{"ranks":[1,null,3]}`} {
		var v Truth
		if err := json.Unmarshal([]byte(good), &v); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	share, one := .5, 1.
	for _, c := range []struct {
		g     Grader
		truth Truth
		p     float64
	}{
		{Grader{Order: -1}, Truth{Share: &share}, math.NaN()},
		{Grader{Brier: math.Inf(1)}, Truth{Share: &share}, math.NaN()},
		{Grader{Brier: math.NaN()}, Truth{Share: &share}, math.NaN()},
		{Grader{}, Truth{}, math.NaN()},
		{Grader{}, Truth{Share: &share}, 1.5},
		{Grader{}, Truth{Ranks: []*float64{&one, &share}}, .5},
	} {
		if _, err := c.g.Grade("1", c.truth, c.p); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{"<think>x</think><answer>A>B</answer>", "1", "0.5", "A=B", ">", "<answer></answer>", "<think>"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = 2 + int(uint(n)%(MaxList-1))
		for _, direct := range []bool{false, true} {
			w := readAnswer(text, n, direct)
			if w.places != nil && len(w.places) != n || w.formed && w.places == nil || w.places == nil && w.text != "" {
				t.Errorf("%q of %d: %+v", text, n, w)
			}
		}
	})
}

func TestTrainingQuestion(t *testing.T) {
	for _, name := range Questions() {
		n := 2
		if name == QuestionList {
			n = 5
		}
		q, err := TrainingQuestion(name, "a red {picture} {prompt}", n)
		if err != nil {
			t.Fatal(err)
		}
		pictures := 0
		for _, p := range q.Parts {
			if p.Picture {
				pictures++
			}
			if p.Picture != (p.Text == "") {
				t.Errorf("%s: %+v", name, p)
			}
		}
		if pictures != n || !strings.Contains(q.Parts[0].Text, "```\na red {picture} {prompt}\n```") || q.SHA256 == "" {
			t.Errorf("%s: %+v", name, q)
		}
		reasons := strings.Contains(q.System, "<think>")
		if reasons == (name == QuestionDirect) {
			t.Errorf("%s: %s", name, q.System)
		}
	}
	for _, bad := range []struct {
		name, prompt string
		n            int
	}{{"reason", " ", 2}, {"reason", "x", 3}, {"list", "x", 1}, {"list", "x", 27}, {"other", "x", 2}} {
		if _, err := TrainingQuestion(bad.name, bad.prompt, bad.n); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestSoftRewards(t *testing.T) {
	for _, c := range readSoft(t).Groups {
		n := len(c.P)
		var matches []Match
		for b := range n {
			for a := range b {
				matches = append(matches, Match{A: a, B: b, Comparison: SoftComparison(c.P[a][b], ProtocolLogprobs)})
			}
		}
		tour, err := Tally(n, matches)
		if err != nil {
			t.Fatal(err)
		}
		for kind, want := range map[string][]float64{SoftWinRate: c.WinRate, SoftStrength: c.Strength, SoftRank: c.Rank} {
			got, err := tour.SoftRewards(kind)
			if err != nil {
				t.Fatal(err)
			}
			nearAll(t, kind, got, want, 1e-6) // strengths are found by numerical minimisation there
		}
		got, err := RankUtility(n, c.Rankings)
		if err != nil {
			t.Fatal(err)
		}
		nearAll(t, "sampled rankings", got, c.Sampled, 1e-12)
	}
	if _, err := (Tournament{}).SoftRewards("other"); err == nil {
		t.Error("an unknown kind was taken")
	}
	for _, bad := range [][][]int{nil, {{0}}, {{0, 0}}, {{0, 1}, {1, 2}}} {
		if _, err := RankUtility(2, bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

// Where pairs are missing the win rate is what the strengths tell, and a picture that met none has no reward.
func TestSoftRewards_incomplete(t *testing.T) {
	tour, err := Tally(4, []Match{{A: 0, B: 1, Comparison: SoftComparison(.8, "")}, {A: 1, B: 2, Comparison: SoftComparison(.8, "")}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tour.SoftRewards(SoftWinRate)
	if err != nil || !(got[0] > got[1] && got[1] > got[2]) || !math.IsNaN(got[3]) {
		t.Errorf("%v, %v", got, err)
	}
	one, err := Tally(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]float64{SoftWinRate: 1, SoftRank: 1, SoftStrength: 0} {
		if got, err := one.SoftRewards(kind); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, %v", kind, got, err)
		}
	}
}
