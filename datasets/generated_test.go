package datasets

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The generated files have the structure, the counts and the quirks of the public ones, so that the known counts are
// checked where the public files are not at hand.

// generatedImageReward has 466 groups of the official sizes; 831 ties; a lowest rank of 2 in 48 groups and of 3 in 3; prompts
// that occur twice.
func generatedImageReward(t *testing.T) string {
	t.Helper()
	type row struct {
		ID          string   `json:"id"`
		Prompt      string   `json:"prompt"`
		Generations []string `json:"generations"`
		Ranking     []int    `json:"ranking"`
	}
	var rows []row
	ties := 831
	for _, s := range []struct{ size, groups int }{{4, 194}, {5, 2}, {6, 45}, {7, 159}, {8, 43}, {9, 23}} {
		for range s.groups {
			n := len(rows)
			r := row{ID: fmt.Sprintf("%06d-%04d", n, n%7), Prompt: fmt.Sprintf("prompt %d, été 🦊 \"quoted\"", n)}
			if n >= 463 {
				r.Prompt = rows[n-463].Prompt
			}
			lowest := 1
			if n < 48 {
				lowest = 2
			} else if n < 51 {
				lowest = 3
			}
			for i := range s.size {
				r.Generations = append(r.Generations, fmt.Sprintf("part-%06d/images/%d.webp", n, i))
				if i%2 == 1 && ties > 0 {
					ties--
					r.Ranking = append(r.Ranking, r.Ranking[i-1])
				} else {
					r.Ranking = append(r.Ranking, lowest+i)
				}
			}
			rows = append(rows, r)
		}
	}
	data, err := json.MarshalIndent(rows, "", "    ")
	if err != nil || ties != 0 {
		t.Fatalf("%d ties are left, %v", ties, err)
	}
	return writeTemp(t, "test.json", string(data))
}

// generatedPartiPrompts has the official categories; one prompt begins with a quotation mark and 22 hold some.
func generatedPartiPrompts(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("Prompt\tCategory\tChallenge\tNote\n")
	n := 0
	for _, c := range []struct {
		name string
		rows int
	}{
		{"Animals", 314},
		{"Artifacts", 287},
		{"World Knowledge", 214},
		{"People", 177},
		{"Outdoor Scenes", 131},
		{"Illustrations", 124},
		{"Vehicles", 104},
		{"Food & Beverage", 74},
		{"Arts", 66},
		{"Abstract", 51},
		{"Produce & Plants", 50},
		{"Indoor Scenes", 40},
	} {
		for range c.rows {
			prompt := fmt.Sprintf("prompt %d", n)
			if n == 0 {
				prompt = `"START" on a sign`
			} else if n < 22 {
				prompt += ` with the word "fox`
			}
			n++
			fmt.Fprintf(&b, "%s\t%s\tBasic\t\n", prompt, c.name)
		}
	}
	return writeTemp(t, "PartiPrompts.tsv", b.String())
}

// generatedGenEval has the official tags.
func generatedGenEval(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	n := 0
	for _, c := range []struct {
		tag, objects string
		rows         int
	}{
		{"single_object", `"include": [{"class": "cow", "count": 1}]`, 80},
		{"two_object", `"include": [{"class": "cow", "count": 1}, {"class": "cup", "count": 1}]`, 99},
		{"counting", `"include": [{"class": "cow", "count": 3}], "exclude": [{"class": "cow", "count": 4}]`, 80},
		{"colors", `"include": [{"class": "cow", "count": 1, "color": "red"}]`, 94},
		{"position", `"include": [{"class": "cow", "count": 1}, {"class": "cup", "count": 1, "position": ["above", 0]}]`, 100},
		{"color_attr", `"include": [{"class": "cow", "count": 1, "color": "red"}, {"class": "cup", "count": 1, "color": "blue"}]`, 100},
	} {
		for range c.rows {
			fmt.Fprintf(&b, "{\"tag\": \"%s\", %s, \"prompt\": \"a photo %d\"}\n", c.tag, c.objects, n)
			n++
		}
	}
	return writeTemp(t, "evaluation_metadata.jsonl", b.String())
}

func TestKnownCounts(t *testing.T) {
	for _, tc := range []struct {
		public string
		format Format
		make   func(*testing.T) string
	}{
		{"imagereward/test.json", "imagereward", generatedImageReward},
		{"partiprompts/PartiPrompts.tsv", "partiprompts", generatedPartiPrompts},
		{"geneval/evaluation_metadata.jsonl", "geneval", generatedGenEval},
	} {
		files := []string{tc.make(t)}
		if public := filepath.Join(sharedData, filepath.FromSlash(tc.public)); isFile(public) {
			files = append(files, public)
		}
		for _, file := range files {
			r, err := Open(file, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			var c Counter
			prompts := 0
			for rec, err := range r.All() {
				if err != nil {
					t.Fatal(err)
				}
				c.Add(&rec)
				if strings.Contains(rec.Prompt, `"`) {
					prompts++
				}
			}
			known := r.Info().Known
			if r.Info().Name != tc.format || len(known) != 1 || len(known[0].Differences(c.Counts)) != 0 {
				t.Errorf("%s: format %s, differences %v", file, r.Info().Name, known[0].Differences(c.Counts))
			}
			if tc.format == "partiprompts" && prompts != 22 {
				t.Errorf("%s: %d prompts with quotation marks, want 22", file, prompts)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	short := Known{"s", Counts{Groups: 5, Pairs: 6}}
	if d := short.Differences(Counts{Groups: 4, Pairs: 6, Images: 9}); !slices.Equal(d, []string{"4 groups instead of 5"}) {
		t.Errorf("differences %v", d)
	}
}

// TestSplit looks at the parts of many prompts.
func TestSplit(t *testing.T) {
	const n = 20_000
	parts := map[uint64][]bool{}
	for _, seed := range []uint64{0, 1} {
		in := 0
		for i := range n {
			v := InValidation(fmt.Sprintf("prompt %d", i), seed, 0.1)
			parts[seed] = append(parts[seed], v)
			if v {
				in++
			}
			if v != InValidation(fmt.Sprintf("  prompt %d\n", i), seed, 0.1) || v && !InValidation(fmt.Sprintf("prompt %d", i), seed, 0.2) {
				t.Fatalf("prompt %d moves with space around it, or leaves a growing part", i)
			}
		}
		if in < n/10-200 || in > n/10+200 { // five standard deviations are 212
			t.Errorf("seed %d: %d of %d in validation", seed, in, n)
		}
	}
	both := 0
	for i := range n {
		if parts[0][i] && parts[1][i] {
			both++
		}
	}
	if both < 120 || both > 280 {
		t.Errorf("two seeds share %d of %d, want some %d", both, n, n/100)
	}
}

func TestDeduper(t *testing.T) {
	pair := func(prompt, a, b string) Record {
		return newPair(prompt, Image{Data: []byte(a)}, Image{Data: []byte(b), UID: prompt}, 1)
	}
	all := []Record{pair("p", "x", "y"), pair("p", "y", "x"), pair("q", "x", "y"), pair(" p ", "x", "z"), newRecord(KindPrompt, "p"), newRecord(KindPrompt, "q")}
	for _, tc := range []struct {
		d    Deduper
		want []bool
	}{
		{Deduper{Prompt: true}, []bool{false, true, false, true, true, true}},
		{Deduper{Images: true}, []bool{false, true, true, false, false, false}},
		{Deduper{Prompt: true, Images: true}, []bool{false, true, false, false, false, false}},
	} {
		var got []bool
		for i := range all {
			seen, err := tc.d.Seen(&all[i])
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, seen)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%+v: %v, want %v", tc.d, got, tc.want)
		}
	}
	missing := newPair("p", Image{Path: "none"}, Image{URL: "http://x"}, 1)
	if _, err := (&Deduper{Images: true}).Seen(&missing); err == nil {
		t.Error("a missing picture has no content")
	}
}
