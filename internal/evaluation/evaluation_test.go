package evaluation

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/datasets"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// evaluate reads a set and scores it.
func evaluate(t *testing.T, set string, format datasets.Format, scores string, threshold float64) (Result, []error) {
	t.Helper()
	s, broken, err := ReadScores(writeFile(t, "scores.jsonl", scores))
	if err != nil || len(broken) > 0 {
		t.Fatal(err, broken)
	}
	r, err := datasets.Open(set, format, &datasets.Options{KeepOrder: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var problems []error
	e := NewSet(r.Info().Name)
	c := e.AddScorer("test")
	for rec, err := range r.All() {
		if err != nil {
			t.Fatal(err)
		}
		if i := e.Add(&rec); i >= 0 {
			problems = append(problems, c.Lookup(i, &rec, s)...)
		}
	}
	return c.Result(threshold), problems
}

func figure(t *testing.T, r Result, category, metric string) Figure {
	t.Helper()
	for _, p := range r.Parts {
		for _, f := range p.Figures {
			if p.Category == category && f.Metric == metric {
				return f
			}
		}
	}
	t.Fatalf("no %s of %q in %+v", metric, category, r)
	return Figure{}
}

// imageReward is the worked example of the two accuracies, and a group of which a picture has no score.
const imageReward = `[
 {"id":"1","prompt":"a","generations":["a/0.webp","a/1.webp","a/2.webp","a/3.webp"],"ranking":[1,2,2,4]},
 {"id":"2","prompt":"b","generations":["b/0.webp","b/1.webp"],"ranking":[1,2]},
 {"id":"3","prompt":"c","generations":["c/0.webp","c/1.webp"],"ranking":[1,2]}]`

const imageRewardScores = `{"image":"a/0.webp","prompt":"a","score":0.9}
{"image":"a/1.webp","score":1.2}
{"image":"./a/2.webp","prompt":"a","score":0.1}
{"image":"a/3.webp","prompt":"a","score":0.1}

{"image":"b/0.webp","prompt":"b","score":0.3}
{"image":"b/1.webp","prompt":"b","score":0.1}
{"image":"c/0.webp","prompt":"c","score":0.3}
{"image":"c/1.webp","prompt":"another prompt","score":0.1}
`

func TestImageReward(t *testing.T) {
	r, problems := evaluate(t, writeFile(t, "test.json", imageReward), "imagereward", imageRewardScores, math.NaN())
	var missing *MissingError
	if r.Records != 3 || r.Scored != 2 || r.Missing != 1 || len(problems) != 1 || !errors.As(problems[0], &missing) || missing.Row != 3 {
		t.Fatalf("%+v, %v", r, problems)
	}
	if f := figure(t, r, "", "imagereward.pair_micro"); math.Abs(float64(f.Value)-4.0/6) > 1e-12 || f.Of != 6 {
		t.Errorf("%+v, want 4 of 6", f)
	}
	if f := figure(t, r, "", "hpsv2.imagereward_macro"); math.Abs(float64(f.Value)-0.8) > 1e-12 || f.Of != 2 {
		t.Errorf("%+v, want 0.8 over 2 prompts", f)
	}
	if f := figure(t, r, "", "best_of_n"); f.Value != 0.5 {
		t.Errorf("%+v, want ½", f)
	}
	if _, err := json.Marshal(r); err != nil { // figures without an interval hold NaN
		t.Error(err)
	}
}

// pairs are a win, a loss, a tie and a pair without a label, of two categories.
const pairs = `{"kind":"pair","prompt":"a","category":"x","images":[{"path":"1"},{"path":"2"}],"label":1}
{"kind":"pair","prompt":"a","category":"x","images":[{"path":"3"},{"path":"4"}],"label":0}
{"kind":"pair","prompt":"b","category":"y","images":[{"path":"5"},{"path":"6"}],"label":0.5}
{"kind":"pair","prompt":"b","category":"y","images":[{"path":"7"},{"path":"8"}]}
`

func TestPairs(t *testing.T) {
	scores := `{"image":"1","score":2}
{"image":"2","score":1}
{"image":"3","score":2}
{"image":"4","score":1}
{"image":"5","score":1}
{"image":"6","score":1}
{"image":"7","score":1}
{"image":"8","score":2}
`
	r, problems := evaluate(t, writeFile(t, "pairs.jsonl", pairs), "jsonl", scores, 0.1)
	if len(problems) > 0 || r.Scored != 4 {
		t.Fatal(r, problems)
	}
	if f := figure(t, r, "", "pickapic.no_ties"); f.Value != 0.5 || f.Of != 2 {
		t.Errorf("%+v, want 1 of 2", f)
	}
	if f := figure(t, r, "", "pickapic.tie_threshold"); math.Abs(float64(f.Value)-2.0/3) > 1e-12 || f.Of != 3 {
		t.Errorf("%+v, want 2 of 3", f)
	}
	if f := figure(t, r, "x", "pickapic.no_ties"); f.Value != 0.5 {
		t.Errorf("%+v in category x, want ½", f)
	}
}

func TestReadScoresNamesLines(t *testing.T) {
	_, broken, err := ReadScores(writeFile(t, "s.jsonl", `{"image":"a","score":1}
not json
{"score":1}
{"image":"b"}
{"image":"a","score":2}
{"image":"a","score":1}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]string{2: "JSON", 3: "image", 4: "score", 5: "before"}
	if len(broken) != len(want) {
		t.Fatalf("%v", broken)
	}
	for _, b := range broken {
		if !strings.Contains(b.Why, want[b.Line]) || want[b.Line] == "" {
			t.Errorf("%v", b)
		}
	}
}

// TestBaselinesBelongToSets keeps the table in step with the formats that there are.
func TestBaselinesBelongToSets(t *testing.T) {
	known := map[datasets.Format]bool{}
	for _, f := range datasets.Formats() {
		known[f.Name] = true
	}
	for f, list := range baselines {
		if !known[f] {
			t.Errorf("baselines for %q, which is no format", f)
		}
		for _, b := range list {
			if b.Value <= 0 || b.Value >= 1 || b.Source == "" {
				t.Errorf("%s: %+v", f, b)
			}
		}
	}
}
