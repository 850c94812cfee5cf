package rewards

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/imageproc"
)

const tinyRewards = "../tests/tiny/rewards/"

// published are scores of tests/oracle/rewards.py.
type published struct {
	Prompts  []string
	Pictures [][4]any // mode, width, height, number
	Scores   map[string][]float64
}

func readPublished(t testing.TB) published {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/rewards/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var g published
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Pictures) != 200 || len(g.Prompts) != 6 {
		t.Fatalf("golden with %d pictures, %d prompts", len(g.Pictures), len(g.Prompts))
	}
	return g
}

// picture is what the oracle computes, in the mode that its PNG file is decoded in.
func (g published) picture(t testing.TB, i int) image.Image {
	t.Helper()
	p := g.Pictures[i]
	var b bytes.Buffer
	if err := png.Encode(&b, computed(p[0].(string), int(p[1].(float64)), int(p[2].(float64)), int(p[3].(float64)))); err != nil {
		t.Fatal(err)
	}
	img, err := imageproc.DecodeModes("picture.png", b.Bytes(), imageproc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func computed(mode string, w, h, k int) image.Image {
	value := func(x, y, c int) byte { return byte(x*(3+k%5) + y*5*(c+1) + c*40 + x*y/(2+k%7) + k*11) }
	rect := image.Rect(0, 0, w, h)
	colours := image.NewNRGBA(rect)
	grey, deep, palette := image.NewGray(rect), image.NewGray16(rect), image.NewPaletted(rect, nil)
	for i := range 17 {
		palette.Palette = append(palette.Palette, color.NRGBA{byte(i*61 + k), byte(i * 97), byte(i*29 + 90), 255})
	}
	for y := range h {
		for x := range w {
			alpha := byte(255)
			if mode == "RGBA" {
				alpha = byte(x*7 + y*11 + k*13)
			}
			colours.SetNRGBA(x, y, color.NRGBA{value(x, y, 0), value(x, y, 1), value(x, y, 2), alpha})
			grey.SetGray(x, y, color.Gray{value(x, y, 0)})
			deep.SetGray16(x, y, color.Gray16{uint16(x*997 + y*613 + k*4001)})
			palette.SetColorIndex(x, y, uint8((x/3+y/2+k)%17))
		}
	}
	return map[string]image.Image{"RGB": colours, "RGBA": colours, "L": grey, "I;16": deep, "P": palette}[mode]
}

// publishedCases names the folder and the tolerance of each reward: 2e-5 of a cosine, in the scale of its formula.
var publishedCases = map[string]struct {
	folder    string
	tolerance float64
}{
	HPSv21:               {HPSv21, 2e-5},
	HPSv21Legacy:         {HPSv21, 2e-5},
	PickScore:            {PickScore, 2e-3},
	CLIPScoreB32:         {CLIPScoreB32, 2.5 * 2e-5},
	CLIPScoreB32NoPrefix: {CLIPScoreB32, 2.5 * 2e-5},
	Aesthetic:            {Aesthetic, 5e-4},
	ImageReward:          {ImageReward, 1e-3},
	SigLIP:               {SigLIP, 117.4 * 2e-5},
	SigLIPProbability:    {SigLIP, 117.4 / 4 * 2e-5},
}

func openTiny(t testing.TB, name, folder string, opt *Options) *Model {
	t.Helper()
	m, err := Open(t.Context(), name, filepath.Join(tinyRewards, folder), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestPublished_equalTheirOwnCode(t *testing.T) {
	g := readPublished(t)
	if len(g.Scores) != len(publishedCases) {
		t.Errorf("%d goldens for %d rewards", len(g.Scores), len(publishedCases))
	}
	for name, c := range publishedCases {
		m := openTiny(t, name, c.folder, &Options{Truncate: true})
		worst, at := 0.0, 0
		for i, want := range g.Scores[name] {
			got, err := m.Score(t.Context(), g.Prompts[i%len(g.Prompts)], []image.Image{g.picture(t, i)})
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(got[0] - want); d > worst {
				worst, at = d, i
			}
		}
		t.Logf("%s: largest difference %.2g at %v", name, worst, g.Pictures[at])
		if worst > c.tolerance {
			t.Errorf("%s: picture %d %v differs by %.2g, allowed %.2g", name, at, g.Pictures[at], worst, c.tolerance)
		}
	}
}

// Batches, repetitions and a second call, all answered from features kept, give what single pictures give.
func TestPublished_featuresKept(t *testing.T) {
	g := readPublished(t)
	var many []image.Image
	for i := 0; i < 3*batchSize; i++ {
		many = append(many, g.picture(t, 6*(i%20)))
	}
	for name, c := range publishedCases {
		m := openTiny(t, name, c.folder, &Options{Truncate: true})
		for range 2 {
			got, err := m.Score(t.Context(), g.Prompts[0], many)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				if want := g.Scores[name][6*(i%20)]; math.Abs(v-want) > c.tolerance {
					t.Errorf("%s: picture %d scores %v, want %v", name, i, v, want)
				}
			}
		}
		if m.nets.vision != nil && len(m.pictures.entries) != 20 {
			t.Errorf("%s: %d pictures kept, want 20", name, len(m.pictures.entries))
		}
	}
}

func TestCache_isBounded(t *testing.T) {
	c := newCache[int](3)
	for i := range 5 {
		c.put(i, []float32{float32(i)})
		if v, ok := c.get(0); i < 4 && (!ok || v[0] != 0) {
			t.Errorf("value 0 lost after %d", i)
		}
	}
	if _, ok := c.get(1); ok || len(c.entries) != 3 || c.order.Len() != 3 {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestOpen_foldersSayWhatTheyHold(t *testing.T) {
	for _, c := range []struct{ name, folder, file, text, want string }{
		{HPSv2, HPSv21, "", "", `holds the reward "hpsv2.1"; open it by that name`},
		{HPSv2, HPSv21, "reward.json", "", "reward.json: is missing"},
		{HPSv21, HPSv21, "reward.json", `{"name":"hpsv2.1","preprocess":"letterbox"}`, "image_size is 0"},
		{HPSv21, HPSv21, "reward.json", `{"name":"hpsv2.1","preprocess":"stretch","image_size":28}`, `preprocess is "stretch"`},
		{PickScore, PickScore, "reward.json", `{"name":"pickscore-v1","logit_scale":-1}`, "logit_scale is -1"},
		{Aesthetic, Aesthetic, "reward.json", `{"name":"aesthetic-v2"}`, "head.weight is missing"},
		{SigLIP, SigLIP, "reward.json", `{"name":"siglip","logit_scale":117}`, "logit_bias is missing"},
		{SigLIPProbability, SigLIP, "reward.json", `{"name":"siglip","logit_bias":-13}`, "logit_scale is 0"},
		{SigLIP, SigLIP, "spiece.model", "", "holds neither spiece.model nor a tokenizer.json"},
		{ImageReward, ImageReward, "model.onnx", "", "holds no model.onnx"},
		{ImageReward, ImageReward, "vocab.txt", "", "vocab.txt"},
		{Aesthetic, Aesthetic, "vision_model.onnx", "", "holds neither"},
	} {
		dir := filepath.Join(tinyRewards, c.folder)
		if c.file != "" {
			dir = copyFolder(t, dir, map[string]string{c.file: c.text})
		}
		_, err := Open(t.Context(), c.name, dir, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want %q and the folder", c.name, err, c.want)
		}
	}
}

// Version 2.0 is the same network with other weights.
func TestOpen_hpsv2(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tinyRewards, HPSv21, "reward.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := copyFolder(t, filepath.Join(tinyRewards, HPSv21), map[string]string{"reward.json": strings.Replace(string(text), "hpsv2.1", "hpsv2", 1)})
	m, err := Open(t.Context(), HPSv2Legacy, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := Info{Name: HPSv2Legacy, Model: dir, Version: HPSv2, Formula: "cos(text, image)", Prepare: "letterbox, legacy resize", MaxTokens: 20, Width: 28, Height: 28, ReadsPrompt: true}
	if m.Info() != want {
		t.Errorf("%+v, want %+v", m.Info(), want)
	}
}

func TestAesthetic_readsNoPrompt(t *testing.T) {
	g := readPublished(t)
	m := openTiny(t, Aesthetic, Aesthetic, nil)
	a, errA := m.Score(t.Context(), "", []image.Image{g.picture(t, 5)})
	b, errB := m.Score(t.Context(), strings.Repeat("many words ", 200), []image.Image{g.picture(t, 5)})
	if errA != nil || errB != nil || a[0] != b[0] || m.Info().MaxTokens != 0 {
		t.Errorf("%v %v, %v %v", a, errA, b, errB)
	}
}

// The prefix counts as text of the prompt.
func TestCLIPScore_prefixTakesRoom(t *testing.T) {
	g := readPublished(t)
	var pe *PromptTooLongError
	words := g.Prompts[0] + strings.Repeat(" of", 12)
	plain := openTiny(t, CLIPScoreB32NoPrefix, CLIPScoreB32, nil).CheckPrompt(words)
	err := openTiny(t, CLIPScoreB32, CLIPScoreB32, nil).CheckPrompt(words)
	if plain != nil || !errors.As(err, &pe) || !strings.HasSuffix(pe.Dropped, "of") {
		t.Errorf("%v", err)
	}
}

func TestPositiveCosine(t *testing.T) {
	for cos, want := range map[float64][2]float64{0.3: {0.75, 2.5}, -0.3: {0, 0}, 0: {0, 0}, 1: {2.5, 2.5}} {
		if s, d := positiveCosine(cos, config{}); s != want[0] || d != want[1] {
			t.Errorf("%v: %v, %v", cos, s, d)
		}
	}
}

func TestSiglip_probabilityOfTheLogit(t *testing.T) {
	c := config{LogitScale: 100, LogitBias: -20}
	for cos, want := range map[float64][2]float64{0.2: {0.5, 25}, 1: {1, 0}, -1: {0, 0}, 0.21: {0.7310585786300049, 19.661193324148185}} {
		if s, d := siglipProbability(cos, c); math.Abs(s-want[0]) > 1e-12 || math.Abs(d-want[1]) > 1e-10 {
			t.Errorf("%v: %v, %v, want %v", cos, s, d, want)
		}
		if s, d := siglipLogit(cos, c); s != 100*cos-20 || d != 100 {
			t.Errorf("%v: %v, %v", cos, s, d)
		}
	}
	if s, d := siglipProbability(-1, config{LogitScale: 1e6}); s != 0 || d != 0 {
		t.Errorf("far out: %v, %v", s, d)
	}
}

// Case and punctuation make no difference, as in training, and take no room.
func TestSiglip_readsCanonicalText(t *testing.T) {
	g := readPublished(t)
	m := openTiny(t, SigLIP, SigLIP, nil)
	a, errA := m.Score(t.Context(), "a photo of a cat", []image.Image{g.picture(t, 5)})
	b, errB := m.Score(t.Context(), "A photo... of a CAT"+strings.Repeat("!", 100), []image.Image{g.picture(t, 5)})
	if errA != nil || errB != nil || a[0] != b[0] || m.Info().MaxTokens != 20 || m.Info().Version != SigLIP {
		t.Errorf("%v %v, %v %v, %+v", a, errA, b, errB, m.Info())
	}
	var pe *PromptTooLongError
	if err := m.CheckPrompt(strings.Repeat("cat ", 20)); !errors.As(err, &pe) || pe.Tokens <= 20 || !strings.HasSuffix(pe.Dropped, "cat") {
		t.Errorf("%v", err)
	}
}
