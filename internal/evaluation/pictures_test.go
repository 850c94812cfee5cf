package evaluation

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/datasets"
	"winnow/internal/pngmeta"
)

func TestMatchPictures(t *testing.T) {
	named := func(ids ...string) []datasets.Prompt {
		var out []datasets.Prompt
		for i, id := range ids {
			out = append(out, datasets.Prompt{Text: "prompt " + string(rune('a'+i)), ID: id})
		}
		return out
	}
	styled := func(styles ...string) []datasets.Prompt {
		out := named(make([]string, len(styles))...)
		for i := range out {
			out[i].Category = styles[i]
		}
		return out
	}
	tests := map[string]struct {
		files   string // name, or name=prompt for PNG files that carry it
		prompts []datasets.Prompt
		layout  Layout
		want    string // prompts divided by |
		unused  string
	}{
		"numbers from 0":       {"00000.jpg 00001.jpg 00002.jpg", named("", "", ""), LayoutNumbers, "00000.jpg|00001.jpg|00002.jpg", ""},
		"numbers from 1":       {"00001.png 00002.png 00003.png", named("", "", ""), LayoutNumbers, "00001.png|00002.png|00003.png", ""},
		"some numbers missing": {"1.jpg", named("", "", ""), LayoutNumbers, "|1.jpg|", ""},
		"too many numbers":     {"0.jpg 1.jpg 7.jpg", named("", ""), LayoutNumbers, "0.jpg|1.jpg", "7.jpg"},
		"several a prompt":     {"0_0.jpg 0_1.jpg 0_10.jpg 0_2.jpg 1_0.jpg", named("", ""), LayoutNumbers, "0_0.jpg 0_1.jpg 0_2.jpg 0_10.jpg|1_0.jpg", ""},
		"GenEval":              {"00000/samples/0000.png 00000/samples/0001.png 00001/samples/0000.png", named("", ""), LayoutGenEval, "00000/samples/0000.png 00000/samples/0001.png|00001/samples/0000.png", ""},
		"styles":               {"anime/00000.jpg anime/00001.jpg photo/00001.jpg", styled("anime", "photo", "anime", "photo"), LayoutStyles, "anime/00000.jpg||anime/00001.jpg|photo/00001.jpg", ""},
		"ids":                  {"x-1.png y.webp 7_3.png", named("x-1", "y", "7"), LayoutIDs, "x-1.png|y.webp|7_3.png", ""},
		"metadata":             {"z.png=prompt_a b.png=prompt_b c.png=prompt_b d.png=other", named("", ""), LayoutMetadata, "z.png|b.png c.png", "d.png"},
		"metadata before ids":  {"1.png=prompt_a 0.png=prompt_b", named("0", "1"), LayoutMetadata, "1.png|0.png", ""},
		"other metadata":       {"0.png=x 1.png=y", named("", ""), LayoutNumbers, "0.png|1.png", ""},
	}
	for name, tt := range tests {
		dir := t.TempDir()
		for _, file := range strings.Fields(tt.files) {
			writePicture(t, dir, file)
		}
		found, layout, unused, err := MatchPictures(dir, tt.prompts)
		if err != nil || layout != tt.layout {
			t.Errorf("%s: %q, %v", name, layout, err)
			continue
		}
		var lists []string
		for _, list := range found {
			lists = append(lists, relative(t, dir, list))
		}
		if got := strings.Join(lists, "|"); got != tt.want || relative(t, dir, unused) != tt.unused {
			t.Errorf("%s: %s, unused %s; want %s, unused %s", name, got, unused, tt.want, tt.unused)
		}
	}
	for name, files := range map[string]string{"no pictures": "", "no order": "fox.png dog.png"} {
		dir := t.TempDir()
		for _, file := range strings.Fields(files) {
			writePicture(t, dir, file)
		}
		if _, _, _, err := MatchPictures(dir, named("", "")); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func relative(t *testing.T, dir string, files []string) string {
	t.Helper()
	var out []string
	for _, f := range files {
		rel, err := filepath.Rel(dir, f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return strings.Join(out, " ")
}

func writePicture(t *testing.T, dir, name string) {
	t.Helper()
	name, prompt, carries := strings.Cut(name, "=")
	var b bytes.Buffer
	if carries {
		if err := pngmeta.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 1, 1)), pngmeta.Chunk{
			Keyword: pngmeta.KeyParameters, Text: pngmeta.Parameters{Prompt: strings.ReplaceAll(prompt, "_", " ")}.String(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNewWinRate(t *testing.T) {
	r := NewWinRate("s", []Contest{
		{Prompt: "1", Category: "x", A: []float64{2, 0}, B: []float64{1, 1}}, // 1 of 2: a tie
		{Prompt: "2", Category: "x", A: []float64{2, 2}, B: []float64{1, 2}}, // 1.5 of 2
		{Prompt: "3", Category: "y", A: []float64{0, 0}, B: []float64{1, 1}}, // 0
		{Prompt: "4", Category: "y", A: []float64{3}, B: []float64{1}},       // 1
		{Prompt: "5", Category: "y", A: []float64{3, 1}, B: []float64{1}},    // not comparable
		{Prompt: "6", A: nil, B: nil},
	})
	if r.Prompts != 4 || r.Missing != 2 || r.Pictures != 7 || r.Wins != 2 || r.Losses != 1 || r.Ties != 1 {
		t.Errorf("%+v", r)
	}
	if r.Rate.Value != (0.5+0.75+0+1)/4 || r.Rate.Low > r.Rate.Value || r.Rate.High < r.Rate.Value || r.P != 1 {
		t.Errorf("rate %+v, p %v", r.Rate, r.P)
	}
	if r.Difference.Value != (0+0.5-1+2)/4. || r.MeanA != 9./7 || r.MedianA != 2 || r.MedianB != 1 {
		t.Errorf("%+v", r)
	}
	if len(r.Categories) != 2 || r.Categories[0].Value != 0.625 || r.Categories[1].Metric != "y" || r.Categories[1].Value != 0.5 {
		t.Errorf("%+v", r.Categories)
	}
	if none := NewWinRate("s", nil); none.Prompts != 0 || none.Rate.Of != 0 {
		t.Errorf("%+v", none)
	}
}
