package diffusion

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"winnow/internal/lora"
	"winnow/internal/ort/orttest"
)

// loraCase is a run of tests/golden/lora/KIND.json.
type loraCase struct {
	guidedCase
	LoRA []struct {
		File  string
		Scale float64
		Side  string
	}
}

// adapterFile is the adapter called name of tests/golden/lora.
func adapterFile(kind, name string) string {
	path := filepath.Join("../tests/golden/lora", kind+"-"+name)
	if name != "peft" {
		path += ".safetensors"
	}
	return path
}

// TestGenerate_lora holds final latents under adapters against diffusers and PEFT: every layout, scales, sums, and guidance with
// another adapter on each side.
func TestGenerate_lora(t *testing.T) {
	for _, kind := range []string{"sd15", "sdxl"} {
		data, err := os.ReadFile(filepath.Join("../tests/golden/lora", kind+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var set guidedSet
		var cases struct{ Cases []loraCase }
		if err := errors.Join(json.Unmarshal(data, &set), json.Unmarshal(data, &cases)); err != nil {
			t.Fatal(err)
		}
		if len(cases.Cases) < 9 {
			t.Fatalf("%d cases only", len(cases.Cases))
		}
		for _, c := range cases.Cases {
			t.Run(kind+"/"+c.Name, func(t *testing.T) {
				p := openAdapted(t, kind, c.options(kind))
				images, err := p.Generate(t.Context(), c.request(&set))
				if err != nil {
					t.Fatal(err)
				}
				c.equals(t, images)
				if len(images[0].Params.LoRA) != len(c.LoRA) || images[0].Params.LoRA[0].Modules == 0 {
					t.Errorf("parameters say %+v", images[0].Params.LoRA)
				}
			})
		}
	}
}

func (c *loraCase) options(kind string) *Options {
	opt := &Options{}
	for _, l := range c.LoRA {
		opt.LoRA = append(opt.LoRA, LoRA{File: adapterFile(kind, l.File), Scale: &l.Scale, Side: l.Side})
	}
	return opt
}

func openAdapted(t *testing.T, kind string, opt *Options) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), filepath.Join("../tests/tiny", kind), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// tinyRequest is a short run of a tiny pipeline.
func tinyRequest() Request {
	return Request{Prompts: []string{"a big red circle"}, Steps: 3, GuidanceScale: 3, Height: 32, Width: 32, Seed: 3, Count: 2}
}

// An adapter of scale 0 changes nothing, on either side; and one side alone is not the other.
func TestGenerate_loraSides(t *testing.T) {
	latents := func(r Request, all ...LoRA) []float32 {
		images, err := openAdapted(t, "sd15", &Options{LoRA: all}).Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return append(images[0].Latents, images[1].Latents...)
	}
	file, none := adapterFile("sd15", "old"), 0.0
	plain := latents(tinyRequest())
	if e := relative(t, latents(tinyRequest(), LoRA{File: file, Scale: &none}), plain); !(e <= 1e-6) {
		t.Errorf("scale 0 changes latents by %.2g", e)
	}
	both, positive, negative := latents(tinyRequest(), LoRA{File: file}), latents(tinyRequest(), LoRA{File: file, Side: PositiveSide}),
		latents(tinyRequest(), LoRA{File: file, Side: NegativeSide})
	for name, pair := range map[string][2][]float32{
		"none and both": {plain, both}, "none and positive": {plain, positive}, "none and negative": {plain, negative},
		"both and positive": {both, positive}, "positive and negative": {positive, negative},
	} {
		if e := relative(t, pair[0], pair[1]); !(e > 1e-3) {
			t.Errorf("%s differ by %.2g only", name, e)
		}
	}
	alone := tinyRequest()
	alone.GuidanceScale = 1
	if e := relative(t, latents(alone, LoRA{File: file, Side: NegativeSide}), latents(alone)); !(e <= 1e-6) {
		t.Errorf("without guidance an adapter of the negative side changes latents by %.2g", e)
	}
	if e := relative(t, latents(alone, LoRA{File: file, Side: PositiveSide}), latents(alone, LoRA{File: file})); !(e <= 1e-6) {
		t.Errorf("without guidance an adapter of the positive side is another by %.2g", e)
	}
}

// Two adapters on the two sides run in both executors.
func TestGenerate_loraExecutors(t *testing.T) {
	orttest.Executor(t) // skips without a library
	r := tinyRequest()
	r.Guidance = CHATS
	for _, kind := range []string{"sd15", "sdxl"} {
		opt := Options{LoRA: []LoRA{{File: adapterFile(kind, "diffusers"), Side: PositiveSide}, {File: adapterFile(kind, "kohya"), Side: NegativeSide}}}
		want, err := openAdapted(t, kind, &opt).Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		opt.Executor, opt.Threads = "onnxruntime", 1
		got, err := openAdapted(t, kind, &opt).Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if e := relative(t, got[i].Latents, want[i].Latents); !(e <= 1e-4) {
				t.Errorf("%s, picture %d: latents differ by %.2g relative", kind, i, e)
			}
		}
	}
}

// What a loaded adapter says of itself; the numbers are those of tests/oracle/lora.py.
func TestPipeline_Adapters(t *testing.T) {
	half := 0.5
	p := openAdapted(t, "sd15", &Options{LoRA: []LoRA{
		{File: adapterFile("sd15", "peft"), Scale: &half, Side: NegativeSide}, {File: adapterFile("sd15", "kohya")},
	}})
	got := p.Adapters()
	want := []AdapterInfo{
		{File: filepath.Join(adapterFile("sd15", "peft"), "adapter_model.safetensors"), Scale: 0.5, Side: NegativeSide, Layout: lora.PEFT, Rank: 2},
		{File: adapterFile("sd15", "kohya"), Scale: 1, Layout: lora.Kohya, Rank: 2},
	}
	for i := range got {
		if got[i].Modules < 20 {
			t.Errorf("adapter %d has %d modules", i, got[i].Modules)
		}
		got[i].Modules = 0
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestOpen_badAdapters(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		l    LoRA
		want string
	}{
		"no file":         {LoRA{}, "name the adapter's file"},
		"unknown side":    {LoRA{File: "x", Side: "left"}, "positive, negative"},
		"scale":           {LoRA{File: "x", Scale: &nan}, "finite"},
		"missing":         {LoRA{File: "none.safetensors"}, "none.safetensors"},
		"another network": {LoRA{File: adapterFile("sdxl", "old")}, "fit no module of"},
		"empty folder":    {LoRA{File: "../tests/golden"}, "holds no pytorch_lora_weights.safetensors"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(t.Context(), "../tests/tiny/sd15", &Options{LoRA: []LoRA{c.l}}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// Autoguidance needs two networks.
func TestGenerate_autoAlone(t *testing.T) {
	r := quick()
	r.Guidance = Auto
	var bad *RequestError
	if _, err := openMini(t).Generate(t.Context(), r); !errors.As(err, &bad) || bad.Field != "guidance" {
		t.Errorf("error %v, want a RequestError for guidance", err)
	}
}
