package imageproc

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
	"testing/fstest"
)

// formula is the picture that tests/oracle/images.py computes.
func formula(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := func(c int) byte { return byte((37*(x+1)*(c+2) + 11*y*y + x*y) % 256) }
			img.SetNRGBA(x, y, color.NRGBA{v(0), v(1), v(2), 255})
		}
	}
	return img
}

type processorGolden struct {
	Meta struct{ Configs map[string]json.RawMessage }
	Rows []struct {
		Backend string
		Config  string
		W, H    int
		Out     [2]int
		SHA256  string
		Probe   []float64
	}
}

func TestProcessor_equalsTransformers(t *testing.T) {
	var g processorGolden
	readJSON(t, "processor.json", &g)
	if len(g.Rows) < 80 {
		t.Fatalf("only %d goldens", len(g.Rows))
	}
	for _, r := range g.Rows {
		p, err := parse(r.Config, g.Meta.Configs[r.Config])
		if err != nil {
			t.Fatal(err)
		}
		if r.Backend == "torchvision" {
			p = p.With(OnTorchvision)
		}
		img := formula(r.W, r.H)
		got, err := p.Pixels(img)
		if err != nil {
			t.Fatal(err)
		}
		if w, h := p.Size(); w != r.Out[0] || h != r.Out[1] {
			t.Fatalf("%s: size %d×%d, want %v", r.Config, w, h, r.Out)
		}
		if digest(got) != r.SHA256 {
			t.Errorf("%s %s %d×%d: pixels differ", r.Backend, r.Config, r.W, r.H)
		}
		checkValues(t, p, img, r.Probe)
	}
}

// valueTolerance covers the order of operations: transformers computes in float32
// and, on torchvision, folds the factor into mean and deviation.
const valueTolerance = 2e-6

// checkValues compares the float32 array with every 97th value of the golden.
func checkValues(t *testing.T, p *Processor, img *image.NRGBA, probe []float64) {
	t.Helper()
	w, h := p.Size()
	dst := make([]float32, 3*w*h)
	if err := p.Process(dst, img); err != nil {
		t.Fatal(err)
	}
	for i, want := range probe {
		if got := float64(dst[97*i]); math.Abs(got-want) > valueTolerance {
			t.Errorf("value %d: %v, want %v", 97*i, got, want)
		}
	}
}

func TestOpenProcessor(t *testing.T) {
	open := func(name, text string) (*Processor, error) {
		return OpenProcessor(fstest.MapFS{name: {Data: []byte(text)}}, "M")
	}
	for name, text := range map[string]string{
		"preprocessor_config.json": `{"size":{"shortest_edge":64},"crop_size":{"height":48,"width":56},"resample":3}`,
		"processor_config.json":    `{"image_processor":{"size":64,"crop_size":{"height":48,"width":56}}}`,
	} {
		p, err := open(name, text)
		if err != nil {
			t.Fatal(err)
		}
		if w, h := p.Size(); w != 56 || h != 48 {
			t.Errorf("%s: size %d×%d", name, w, h)
		}
	}
	if w, h := CLIP(64).Size(); w != 64 || h != 64 {
		t.Errorf("CLIP(64): %d×%d", w, h)
	}
	for text, want := range map[string]string{
		`{"size":`:      "M/preprocessor_config.json: is not the JSON expected",
		`{"size":"x"}`:  "is not the JSON expected",
		`{"size":-4}`:   "size: must be 1 to",
		`{"size":9999}`: "size: must be 1 to",
		`{"size":{"longest_edge":5,"shortest_edge":5}}`:    "longest_edge is not supported",
		`{"crop_size":{"height":3}}`:                       "crop_size: 0×3",
		`{"do_center_crop":false}`:                         "do_center_crop: without a crop",
		`{"image_processor_type":"Siglip2ImageProcessor"}`: "image_processor_type: ",
		`{"do_pad":true}`:                                  "do_pad: padding",
		`{"resample":6}`:                                   "resample: filter 6",
		`{"image_mean":[1,2]}`:                             "image_mean, image_std: hold 2 and 3",
		`{"image_std":[0,1,1]}`:                            "image_std: value",
		strings.Repeat(" ", maxConfig+1):                   "larger than",
	} {
		_, err := open("preprocessor_config.json", text)
		var ce *ConfigError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	if _, err := open("other.json", "{}"); err == nil || !strings.Contains(err.Error(), "copy it from the original model") {
		t.Errorf("no file: %v", err)
	}
	if _, err := open("processor_config.json", "{}"); err == nil || !strings.Contains(err.Error(), "image_processor: is missing") {
		t.Errorf("no part: %v", err)
	}
}

// The published files of SigLIP leave the crop out; CLIP's default would cut 224 pixels from the middle.
func TestOpenProcessor_siglip(t *testing.T) {
	for text, side := range map[string]int{
		`{"image_processor_type":"SiglipImageProcessor","size":{"height":384,"width":384},"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":3}`: 384,
		`{"image_processor_type":"SiglipImageProcessorFast"}`: 224,
	} {
		p, err := parse("M", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		img := image.NewNRGBA(image.Rect(0, 0, 40, 4))
		img.SetNRGBA(0, 0, color.NRGBA{255, 255, 255, 255})
		dst := make([]float32, 3*side*side)
		if err := p.Process(dst, img); err != nil {
			t.Fatal(err)
		}
		if w, h := p.Size(); w != side || h != side || dst[0] != 1 || dst[len(dst)-1] != -1 {
			t.Errorf("%s: %d×%d, first %v, last %v", text, w, h, dst[0], dst[len(dst)-1])
		}
	}
}

func TestProcessor_refusesWhatWouldNotFit(t *testing.T) {
	p := CLIP(224)
	if _, err := p.Pixels(image.NewNRGBA(image.Rect(0, 0, 1, 60_000))); err == nil || !strings.Contains(err.Error(), "too long for its width") {
		t.Errorf("ribbon: %v", err)
	}
	if err := p.Process(make([]float32, 5), formula(3, 3)); err == nil {
		t.Error("short destination accepted")
	}
	if _, err := p.Pixels(&image.NRGBA{}); err == nil {
		t.Error("empty picture accepted")
	}
}
