package diffusion

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// latentTolerance bounds the relative error (norm of the difference over the norm) of final latents against
// diffusers. The oracle's own float32 runs differ from double precision by up to 1e-6; sums are ordered differently
// here, and ancestral samplers amplify rounding.
const latentTolerance = 1e-3

// goldenCase is one run of tests/golden/pipelines/KIND.json.
type goldenCase struct {
	Prompt          string
	NegativePrompt  *string `json:"negative_prompt"`
	Scheduler       string
	Steps           int
	GuidanceScale   float64 `json:"guidance_scale"`
	GuidanceRescale float64 `json:"guidance_rescale"`
	Height, Width   int
	Seed            uint64
	NumImages       int `json:"num_images"`
	Eta             float64
	Latents         string
	Sample          string
	Picture         string
}

func (c goldenCase) name() string {
	return fmt.Sprintf("%s/steps=%d/guidance=%g/%dx%d/%s", c.Scheduler, c.Steps, c.GuidanceScale, c.Height, c.Width, filepath.Base(c.Latents))
}

func (c goldenCase) request() Request {
	r := Request{
		Prompts: []string{c.Prompt}, Scheduler: c.Scheduler, Steps: c.Steps, GuidanceScale: c.GuidanceScale,
		GuidanceRescale: c.GuidanceRescale, Height: c.Height, Width: c.Width, Seed: c.Seed, Count: c.NumImages, Eta: c.Eta,
	}
	if c.NegativePrompt != nil {
		r.NegativePrompt = *c.NegativePrompt
	}
	return r
}

// relative is ‖got − want‖ / ‖want‖ over whole arrays; shapes must agree in size.
func relative(t *testing.T, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(diff / norm)
}

func openGolden(t *testing.T, name string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Read(filepath.Join("../tests/golden/pipelines", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func golden(t *testing.T, f *safetensors.File, name string) tensor.Tensor {
	t.Helper()
	v, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("golden tensor %q is missing", name)
	}
	return v
}

func openTiny(t *testing.T, kind string) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), filepath.Join("../tests/tiny", kind), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// TestGenerate_diffusers holds final latents, and some pictures, against what diffusers' pipelines give for the same
// seed, on three random-weight pipelines.
func TestGenerate_diffusers(t *testing.T) {
	for _, kind := range []string{"sd15", "sd2", "sdxl"} {
		t.Run(kind, func(t *testing.T) {
			var set struct{ Cases []goldenCase }
			data, err := os.ReadFile(filepath.Join("../tests/golden/pipelines", kind+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &set); err != nil {
				t.Fatal(err)
			}
			if len(set.Cases) < 40 {
				t.Fatalf("%d cases only", len(set.Cases))
			}
			p, file := openTiny(t, kind), openGolden(t, kind+"-latents.safetensors")
			for _, c := range set.Cases {
				t.Run(c.name(), func(t *testing.T) { checkCase(t, p, file, c) })
			}
		})
	}
}

func checkCase(t *testing.T, p *Pipeline, file *safetensors.File, c goldenCase) {
	images, err := p.Generate(t.Context(), c.request())
	if err != nil {
		t.Fatal(err)
	}
	var latents []float32
	for _, im := range images {
		latents = append(latents, im.Latents...)
	}
	e := relative(t, latents, golden(t, file, c.Latents).F32())
	t.Logf("relative error of the final latents: %.2g", e)
	if !(e <= latentTolerance) {
		t.Errorf("final latents differ from diffusers by %.2g relative, allowed %g", e, latentTolerance)
	}
	if c.Picture == "" {
		return
	}
	want := golden(t, file, c.Picture).U8()
	for i, im := range images {
		area := c.Height * c.Width
		for k := range area {
			for ch := range 3 {
				if d := int(im.Pix[4*k+ch]) - int(want[3*(i*area+k)+ch]); d < -1 || d > 1 {
					t.Fatalf("picture %d, row %d, column %d, channel %d: %d, diffusers has %d", i, k/c.Width, k%c.Width, ch,
						im.Pix[4*k+ch], want[3*(i*area+k)+ch])
				}
			}
		}
	}
}

// TestEncode_diffusers holds text embeddings against diffusers' encode_prompt.
func TestEncode_diffusers(t *testing.T) {
	for _, kind := range []string{"sd15", "sd2", "sdxl"} {
		t.Run(kind, func(t *testing.T) {
			var set struct{ Prompts []string }
			data, err := os.ReadFile(filepath.Join("../tests/golden/pipelines", kind+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &set); err != nil {
				t.Fatal(err)
			}
			p, file := openTiny(t, kind), openGolden(t, kind+"-text.safetensors")
			for i, prompt := range set.Prompts {
				e, err := p.ldm.Encode(t.Context(), []string{prompt}, true)
				if err != nil {
					t.Fatal(err)
				}
				if d := relative(t, e.Hidden.F32(), golden(t, file, fmt.Sprintf("prompt_embeds/%d", i)).F32()); !(d <= 1e-5) {
					t.Errorf("%q: embeddings differ by %.2g relative", prompt, d)
				}
				if kind != "sdxl" {
					continue
				}
				if d := relative(t, e.Pooled.F32(), golden(t, file, fmt.Sprintf("pooled_prompt_embeds/%d", i)).F32()); !(d <= 1e-5) {
					t.Errorf("%q: pooled embeddings differ by %.2g relative", prompt, d)
				}
			}
		})
	}
}
