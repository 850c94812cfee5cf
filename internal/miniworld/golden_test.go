package miniworld

import (
	"encoding/json"
	"image"
	"image/draw"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// golden is testdata/golden.json, written by assets/mini/train/make_goldens.py.
type golden struct {
	Scenes    []Scene   `json:"scenes"`
	Clean     []verdict `json:"clean"`
	Degraded  []verdict `json:"degraded"`
	Wrong     []verdict `json:"wrong"`
	Generated []verdict `json:"generated"`
	Captions  []Prompt  `json:"captions"`
}

type verdict struct {
	Spec       Spec     `json:"spec"`
	Items      [][2]any `json:"items"`
	Strict     bool     `json:"strict"`
	Frac       float64  `json:"frac"`
	Clean      float64  `json:"clean"`
	Score      float64  `json:"score"`
	Background string   `json:"background"`
	Objects    []Found  `json:"objects"`
}

func readGolden(t *testing.T) golden {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Scenes) != 40 || len(g.Generated) != 24 || len(g.Captions) != 200 {
		t.Fatalf("golden file holds %d scenes, %d generated pictures, %d captions", len(g.Scenes), len(g.Generated), len(g.Captions))
	}
	return g
}

// readSheet cuts a sheet of pictures, eight a row, into n of them.
func readSheet(t *testing.T, name string, n int) []*image.NRGBA {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sheet, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]*image.NRGBA, n)
	for i := range out {
		out[i] = image.NewNRGBA(image.Rect(0, 0, Size, Size))
		draw.Draw(out[i], out[i].Rect, sheet, image.Pt(i%8*Size, i/8*Size), draw.Src)
	}
	return out
}

func TestRenderEqualsPython(t *testing.T) {
	g := readGolden(t)
	differing := 0
	for i, want := range readSheet(t, "clean.png", len(g.Scenes)) {
		got := g.Scenes[i].Render()
		for k := range want.Pix {
			d := int(got.Pix[k]) - int(want.Pix[k])
			if d < -1 || d > 1 {
				t.Fatalf("scene %d, byte %d: got %d, want %d", i, k, got.Pix[k], want.Pix[k])
			}
			if d != 0 {
				differing++
			}
		}
	}
	if differing > 40 { // rounding of exp, hypot and sums differs; geometry must not
		t.Errorf("%d channel values of 40 pictures differ by one level", differing)
	}
}

func TestCheckEqualsPython(t *testing.T) {
	g := readGolden(t)
	clean := readSheet(t, "clean.png", 40)
	wrong := make([]*image.NRGBA, 40)
	for i := range wrong {
		wrong[i] = clean[(i+5)%40]
	}
	for _, set := range []struct {
		name   string
		images []*image.NRGBA
		want   []verdict
	}{
		{"clean", clean, g.Clean},
		{"degraded", readSheet(t, "degraded.png", 40), g.Degraded},
		{"wrong", wrong, g.Wrong},
		{"generated", readSheet(t, "generated.png", 24), g.Generated},
	} {
		t.Run(set.name, func(t *testing.T) {
			for i, img := range set.images {
				compareVerdict(t, i, img, set.want[i])
			}
		})
	}
}

func compareVerdict(t *testing.T, i int, img *image.NRGBA, want verdict) {
	t.Helper()
	got, err := Check(img, want.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Items) != len(want.Items) {
		t.Fatalf("picture %d: %d items, want %d", i, len(got.Items), len(want.Items))
	}
	for k, item := range got.Items {
		if item.Name != want.Items[k][0] || item.OK != want.Items[k][1] {
			t.Errorf("picture %d item %d: %v, want %v", i, k, item, want.Items[k])
		}
	}
	if got.Strict != want.Strict || got.Frac != want.Frac {
		t.Errorf("picture %d: strict %v frac %v, want %v %v", i, got.Strict, got.Frac, want.Strict, want.Frac)
	}
	if math.Abs(got.Clean-want.Clean) > 1e-9 || math.Abs(got.Score-want.Score) > 1e-9 {
		t.Errorf("picture %d: clean %.12f score %.12f, want %.12f %.12f", i, got.Clean, got.Score, want.Clean, want.Score)
	}
	compareDetection(t, i, img, want)
}

func compareDetection(t *testing.T, i int, img *image.NRGBA, want verdict) {
	t.Helper()
	detected, err := Detect(img)
	if err != nil {
		t.Fatal(err)
	}
	if detected.Background != want.Background || len(detected.Objects) != len(want.Objects) {
		t.Fatalf("picture %d: sees %d objects on %s, want %d on %s", i, len(detected.Objects), detected.Background, len(want.Objects), want.Background)
	}
	for k, got := range detected.Objects {
		w := want.Objects[k]
		if math.Abs(got.IoU-w.IoU) > 1e-9 {
			t.Errorf("picture %d object %d: overlap %v, want %v", i, k, got.IoU, w.IoU)
		}
		got.IoU = w.IoU
		if got != w {
			t.Errorf("picture %d object %d: %+v, want %+v", i, k, got, w)
		}
	}
}

func TestParseCaptionOfPython(t *testing.T) {
	for _, c := range readGolden(t).Captions {
		got, err := ParseCaption(c.Text)
		if err != nil {
			t.Error(err)
			continue
		}
		if !reflect.DeepEqual(got.Canonical(), c.Spec.Canonical()) {
			t.Errorf("%q: got %+v, want %+v", c.Text, got.Canonical(), c.Spec.Canonical())
		}
	}
}

func TestPromptSets(t *testing.T) {
	seen := map[string]bool{}
	for name, count := range map[string]int{"heldout": 500, "validation": 300} {
		f, err := os.Open(filepath.Join("..", "..", "assets", "mini", "prompts", name+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		prompts, err := ReadPrompts(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(prompts) != count {
			t.Errorf("%s: %d prompts, want %d", name, len(prompts), count)
		}
		for _, p := range prompts {
			if seen[p.Text] {
				t.Errorf("%q occurs twice", p.Text)
			}
			seen[p.Text] = true
			if err := p.Spec.Validate(); err != nil {
				t.Errorf("%q: %v", p.Text, err)
			}
		}
	}
}
