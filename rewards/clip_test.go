package rewards

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/model"
	"winnow/internal/tensor"
)

type clipGolden struct {
	Pictures   [][3]int
	Prompts    []string
	LogitScale float64     `json:"logit_scale"`
	Logits     [][]float64 `json:"logits_per_image"` // by prompt, then picture
}

func readClipGolden(t testing.TB) clipGolden {
	t.Helper()
	data, err := os.ReadFile("../tests/golden/clip/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var g clipGolden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Pictures) < 6 || len(g.Prompts) < 4 || len(g.Logits) != len(g.Prompts) {
		t.Fatalf("golden with %d pictures, %d prompts", len(g.Pictures), len(g.Prompts))
	}
	return g
}

// formula is the picture that tests/oracle/clip_reward.py computes.
func formula(w, h, k int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := func(c int) byte {
				if c == k%3 {
					return byte(math.Floor(128 + 127*math.Sin(float64(x*(k+1)+c*9)/(7+float64(k)))*math.Cos(float64(y*(k+2))/11)))
				}
				return byte((x*3 + y*5*(k+1) + c*40) % 256)
			}
			img.SetNRGBA(x, y, color.NRGBA{v(0), v(1), v(2), 255})
		}
	}
	return img
}

func pictures(g clipGolden) []image.Image {
	var images []image.Image
	for _, p := range g.Pictures {
		images = append(images, formula(p[0], p[1], p[2]))
	}
	return images
}

func openClip(t testing.TB, dir string, opt *Options) *Model {
	t.Helper()
	m, err := Open(t.Context(), CLIP, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// cosTolerance covers float32 sums in another order.
const cosTolerance = 1e-5

func TestModel_Score_equalsTransformers(t *testing.T) {
	g := readClipGolden(t)
	for dir, scale := range map[string]float64{"../tests/tiny/clip": g.LogitScale, "../tests/tiny/clip_split": splitScale} {
		m := openClip(t, dir, &Options{Threads: 2})
		for i, prompt := range g.Prompts {
			got, err := m.Score(t.Context(), prompt, pictures(g))
			if err != nil {
				t.Fatal(err)
			}
			for k, want := range g.Logits[i] {
				if d := got[k]/scale - want/g.LogitScale; math.Abs(d) > cosTolerance {
					t.Errorf("%s, %q, picture %d: cosine %.6f, want %.6f", dir, prompt, k, got[k]/scale, want/g.LogitScale)
				}
			}
		}
	}
}

// More pictures than one batch holds must give what each gives alone.
func TestModel_Score_batchesAgree(t *testing.T) {
	g := readClipGolden(t)
	m := openClip(t, "../tests/tiny/clip", nil)
	var many []image.Image
	for len(many) < 2*batchSize+3 {
		many = append(many, pictures(g)...)
	}
	got, err := m.Score(t.Context(), g.Prompts[0], many)
	if err != nil || len(got) != len(many) {
		t.Fatalf("%d scores, %v", len(got), err)
	}
	for i, s := range got {
		if want := g.Logits[0][i%len(g.Pictures)]; math.Abs(s-want)/g.LogitScale > cosTolerance {
			t.Errorf("picture %d: %v, want %v", i, s, want)
		}
	}
	if none, err := m.Score(t.Context(), "a", nil); err != nil || len(none) != 0 {
		t.Errorf("no pictures: %v, %v", none, err)
	}
}

func TestModel_Info(t *testing.T) {
	dir := "../tests/tiny/clip"
	info := openClip(t, dir, nil).Info()
	want := Info{Name: CLIP, Model: dir, Formula: "exp(logit_scale)·cos(text, image), the checkpoint's scale", MaxTokens: 20, Width: 24, Height: 24, ReadsPrompt: true}
	if info != want {
		t.Errorf("%+v, want %+v", info, want)
	}
	if f := openClip(t, "../tests/tiny/clip_split", nil).Info().Formula; f != "100·cos(text, image)" {
		t.Errorf("split formula %q", f)
	}
}

func TestModel_promptsThatDoNotFit(t *testing.T) {
	long := strings.Repeat("cat ", 18) + "and a dog"
	_, err := openClip(t, "../tests/tiny/clip", nil).Score(t.Context(), long, pictures(readClipGolden(t)))
	var pe *PromptTooLongError
	if !errors.As(err, &pe) || pe.Limit != 20 || pe.Tokens <= 20 || !strings.HasSuffix(pe.Dropped, "dog") || !strings.Contains(err.Error(), pe.Dropped) {
		t.Errorf("%v", err)
	}
	m := openClip(t, "../tests/tiny/clip", &Options{Truncate: true})
	a, errA := m.Score(t.Context(), long, []image.Image{formula(30, 30, 1)})
	b, errB := m.Score(t.Context(), strings.Repeat("cat ", 18), []image.Image{formula(30, 30, 1)})
	if errA != nil || errB != nil || a[0] != b[0] {
		t.Errorf("truncated %v (%v), cut by hand %v (%v)", a, errA, b, errB)
	}
}

func TestModel_Score_refusals(t *testing.T) {
	m := openClip(t, "../tests/tiny/clip", nil)
	for want, img := range map[string]image.Image{
		"picture 2: it has no pixels":          &image.NRGBA{},
		"picture 2: imageproc: a picture of 1": image.NewNRGBA(image.Rect(0, 0, 1, 3_000_000)),
	} {
		if _, err := m.Score(t.Context(), "a", []image.Image{formula(9, 9, 0), img}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Score(ctx, "a", pictures(readClipGolden(t))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Open(ctx, CLIP, "../tests/tiny/clip", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("opened after the end: %v", err)
	}
}

// copyFolder copies a model folder, leaving out or replacing files.
func copyFolder(t *testing.T, from string, change map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for name, text := range change {
		path := filepath.Join(dir, name)
		if text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpen_errorsNameTheFile(t *testing.T) {
	const one, two = "../tests/tiny/clip", "../tests/tiny/clip_split"
	vision, err := os.ReadFile(filepath.Join(two, "vision_model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   string
		change map[string]string
		want   string
	}{
		"no network":        {one, map[string]string{"model.onnx": ""}, "holds neither model.onnx nor a text and a vision network"},
		"no vision":         {two, map[string]string{"vision_model.onnx": ""}, "holds neither model.onnx nor"},
		"cut network":       {one, map[string]string{"model.onnx": string(vision[:2000])}, "model.onnx"},
		"other network":     {one, map[string]string{"model.onnx": string(vision)}, "model.onnx gives image_embeds; want logits_per_image"},
		"text is vision":    {two, map[string]string{"text_model.onnx": string(vision)}, "text_model.onnx gives image_embeds; want text_embeds or text_features"},
		"no vocabulary":     {one, map[string]string{"vocab.json": ""}, "holds neither vocab.json"},
		"no merges":         {one, map[string]string{"merges.txt": ""}, "merges.txt: cannot be opened"},
		"no preprocessing":  {one, map[string]string{"preprocessor_config.json": ""}, "preprocessor_config.json: cannot be read"},
		"bad preprocessing": {one, map[string]string{"preprocessor_config.json": "{"}, "preprocessor_config.json: is not the JSON"},
		"bad configuration": {one, map[string]string{"config.json": "["}, "config.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyFolder(t, c.from, c.change)
			_, err := Open(t.Context(), CLIP, dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v, want %q and the folder", err, c.want)
			}
		})
	}
	if _, err := Open(t.Context(), CLIP, filepath.Join(one, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func TestOpen_arguments(t *testing.T) {
	for _, c := range []struct{ name, dir, want string }{
		{"hps", "", `no reward "hps"; known are clip, hpsv2`},
		{"clip", "", "needs the folder of a model"},
		{"mini", "x", "is embedded and takes no folder"},
		{"clip", "clip_test.go", "clip_test.go is a file"},
	} {
		var ae *ArgumentError
		if _, err := Open(t.Context(), c.name, c.dir, nil); !errors.As(err, &ae) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%q, %q): %v, want %q", c.name, c.dir, err, c.want)
		}
	}
}

// Exports differ in the types of their inputs; values must arrive unchanged.
func TestInputs_takeTheTypeOfTheGraph(t *testing.T) {
	ids := []int64{1, 49407, 0, 3}
	if got := (model.Port{DType: tensor.I32}).Integers(ids, 2, 2); !slices.Equal(got.I32(), []int32{1, 49407, 0, 3}) || !slices.Equal(got.Shape, []int{2, 2}) {
		t.Errorf("int32: %v", got)
	}
	if got := (model.Port{DType: tensor.I64}).Integers(ids, 4); !slices.Equal(got.I64(), ids) {
		t.Errorf("int64: %v", got)
	}
	values := []float32{0.5, -2, 1024}
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
		if got := (model.Port{DType: dt}).Floats(values, 3); got.DType != dt || !slices.Equal(got.Float32s(), values) {
			t.Errorf("%v: %v", dt, got)
		}
	}
}
