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
