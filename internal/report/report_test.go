package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"io"
	"regexp"
	"strings"
	"testing"

	"winnow/rewards"
)

func picture(w, h int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetNRGBA(i%w, i/w, color.NRGBA{byte(i), byte(i / 3), 90, 255})
	}
	return img
}

func sample() *Result {
	seed := func(s uint64) *uint64 { return &s }
	return &Result{
		Command: "generate", Version: "v1", Seconds: 1.25,
		Reward: &rewards.Info{Name: "mini", Model: "embedded", Formula: "output score"},
		Groups: []Group{
			{Prompt: "a red circle", Images: []Image{
				{File: "b.png", Rank: 1, Score: 2.5, Width: 64, Height: 64, SHA256: "aa", Seed: seed(18446744073709551615), Params: map[string]int{"steps": 5}, Picture: picture(64, 64)},
				{File: "a.png", Rank: 2, Score: -10.123456, Width: 400, Height: 200, SHA256: "bb", Picture: picture(400, 200)},
			}},
			{Prompt: "two\nlines <script>alert(1)</script>", Images: []Image{{File: "c.png", Rank: 1, Score: 0, Width: 1, Height: 1, SHA256: "cc"}}},
		},
		Failed: []Failure{{File: "x.png", Cause: "file is empty"}},
	}
}

func TestResult_WriteTable(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `a red circle
rank     score                  seed  file
   1    2.5000  18446744073709551615  b.png
   2  -10.1235                        a.png

two lines <script>alert(1)</script>
rank   score  file
   1  0.0000  c.png
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	plain := &Result{Groups: []Group{{Images: []Image{{File: "a.png"}, {File: "b.png"}}}, {}}}
	if err := plain.WriteTable(&b); err != nil || b.String() != "a.png\nb.png\n" {
		t.Errorf("not ranked: %q, %v", b.String(), err)
	}
}

func TestResult_WriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var types []string
	dec := json.NewDecoder(&b)
	for {
		var line map[string]any
		err := dec.Decode(&line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, line["type"].(string))
		switch len(types) {
		case 2:
			if line["rank"] != 2.0 || line["score"] != -10.123456 || line["reward"] != "mini" || line["prompt"] != "a red circle" || line["seed"] != nil {
				t.Errorf("second line: %v", line)
			}
		case 3: // a score of zero is a score
			if line["score"] != 0.0 {
				t.Errorf("third line: %v", line)
			}
		case 4:
			if line["file"] != "x.png" || line["message"] != "file is empty" || line["code"] != 1.0 {
				t.Errorf("failure: %v", line)
			}
		case 5:
			if line["images"] != 3.0 || line["failed"] != 1.0 || line["command"] != "generate" {
				t.Errorf("summary: %v", line)
			}
		}
	}
	if got := strings.Join(types, " "); got != "image image image error summary" {
		t.Errorf("types %s", got)
	}
}

func TestResult_WriteHTML(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"data:image/png;base64,", "data:image/jpeg;base64,", "b.png", "seed 18446744073709551615", "2.5000", "-10.1235",
		"file is empty", "&lt;script&gt;alert(1)", "ranked by <b>mini</b>", `width: 100%`, `width: 0%`, `class="best"`, "3 pictures, 1 file could",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|https?://|ZgotmplZ|src="[^d]`).FindString(page); m != "" {
		t.Errorf("the page holds %q", m)
	}
	b.Reset()
	if err := (&Result{Command: "rank"}).WriteHTML(&b); err != nil || !strings.Contains(b.String(), "0 pictures") {
		t.Errorf("empty result: %v", err)
	}
	broken := &Result{Groups: []Group{{Images: []Image{{File: "z", Params: func() {}}}}}}
	if err := broken.WriteHTML(io.Discard); err == nil || !strings.Contains(err.Error(), "settings of z") {
		t.Errorf("settings that are no JSON: %v", err)
	}
}

// Equal scores fill the bar; nothing divides by zero.
func TestPercent_equalScores(t *testing.T) {
	g := Group{Images: []Image{{Score: 3}, {Score: 3}}}
	if p := percent(g, g.Images[1]); p != 100 {
		t.Errorf("%d", p)
	}
}

// summed is a result of two rewards, with an alarm and a prompt per picture.
func summed(t *testing.T) *Result {
	t.Helper()
	reference, err := rewards.NewReference("b", "a set", []float64{0, 10})
	if err != nil {
		t.Fatal(err)
	}
	return &Result{
		Command: "rank", Version: "v1", Alarm: 0.5, Reward: &rewards.Info{Name: "1·z(a) + 1·z(b)", Formula: "1·z(a) + 1·z(b)"},
		Members: []Member{{Name: "a", Info: rewards.Info{Name: "a"}}, {Name: "b", Info: rewards.Info{Name: "b"}, Reference: &reference}},
		Groups: []Group{{Images: []Image{
			{File: "é.png", Rank: 1, Score: 1.5, Scores: []float64{0.25, 9}, Spread: 0.75, Prompt: "a \"red\", circle", Width: 8, Height: 9, SHA256: "aa"},
			{File: "b.png", Rank: 2, Score: -1.5, Scores: []float64{-3, 2.5}, Spread: 0.5, Prompt: "two\nlines", Width: 8, Height: 9, SHA256: "bb"},
		}}},
	}
}

func TestResult_sumInEveryForm(t *testing.T) {
	var table, csv, page, lines bytes.Buffer
	r := summed(t)
	if err := errors.Join(r.WriteTable(&table), r.WriteCSV(&csv), r.WriteHTML(&page), r.WriteJSON(&lines)); err != nil {
		t.Fatal(err)
	}
	wantTable := `rank    score        a       b    spread  file   prompt
   1   1.5000   0.2500  9.0000  0.7500 !  é.png  a "red", circle
   2  -1.5000  -3.0000  2.5000  0.5000    b.png  two lines
`
	if table.String() != wantTable {
		t.Errorf("got\n%s\nwant\n%s", table.String(), wantTable)
	}
	wantCSV := "prompt,file,rank,score,a,b,percentile b,spread,alarm,seed,width,height,sha256\r\n" +
		"\"a \"\"red\"\", circle\",é.png,1,1.5,0.25,9,90.00,0.75,true,,8,9,aa\r\n" +
		"\"two\r\nlines\",b.png,2,-1.5,-3,2.5,25.00,0.5,false,,8,9,bb\r\n"
	if csv.String() != wantCSV {
		t.Errorf("got\n%q\nwant\n%q", csv.String(), wantCSV)
	}
	for _, want := range []string{
		"1 picture: the rewards disagree", "(standard deviation above 0.5)", "spread 0.7500", "<td>b</td><td>9.0000</td><td>above 90 %</td>",
		"share of 2 reference scores below (a set)", "Pictures of 2 prompts", "a &#34;red&#34;, circle",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	first, rest, _ := strings.Cut(lines.String(), "\n")
	for _, want := range []string{`"prompt":"a \"red\", circle"`, `"scores":{"a":0.25,"b":9}`, `"percentiles":{"b":90}`, `"spread":0.75`, `"alarm":true`} {
		if !strings.Contains(first, want) {
			t.Errorf("%s lacks %s", first, want)
		}
	}
	if !strings.Contains(rest, `"references":{"b":{"set":"a set","count":2}},"alarm":{"limit":0.5,"images":1}`) {
		t.Errorf("summary of %s", rest)
	}
}

// One reward by itself shows a percentile and no list of scores.
func TestResult_percentileOfOneReward(t *testing.T) {
	r := summed(t)
	r.Members, r.Alarm, r.Reward.Name = r.Members[1:], 0, "b"
	for i := range r.Groups[0].Images {
		r.Groups[0].Images[i].Scores = r.Groups[0].Images[i].Scores[1:]
	}
	var table, csv, page, lines bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteCSV(&csv), r.WriteHTML(&page), r.WriteJSON(&lines)); err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]string{
		table.String(): "   1   1.5000          90  é.png", csv.String(): "score,percentile,seed", page.String(): "above 90 % of the reference", lines.String(): `"percentile":90,`,
	} {
		if !strings.Contains(form, want) {
			t.Errorf("%s lacks %q", form, want)
		}
	}
	if strings.Contains(lines.String(), `"scores"`) || strings.Contains(lines.String(), `"alarm"`) {
		t.Errorf("%s", lines.String())
	}
}
