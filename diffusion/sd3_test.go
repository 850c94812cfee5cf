package diffusion

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/ldm"
	"winnow/internal/model"
	"winnow/sampling"
)

// sd3Golden is tests/golden/pipelines/sd3.json.
type sd3Golden struct {
	Prompts  []string
	Sequence int // tokens of text embeddings, T5's or the zeros in their place included
	Cases    []goldenCase
	Without  []goldenCase `json:"cases_without_t5"`
}

func readSD3(t *testing.T) sd3Golden {
	t.Helper()
	var set sd3Golden
	data, err := os.ReadFile("../tests/golden/pipelines/sd3.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Cases) < 5 || len(set.Without) < 5 || len(set.Prompts) < 10 {
		t.Fatalf("%d and %d cases, %d prompts", len(set.Cases), len(set.Without), len(set.Prompts))
	}
	return set
}

// withoutT5 is tests/tiny/sd3 without its third text encoder, as a folder on disk.
func withoutT5(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../tests/tiny/sd3")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"text_encoder_3", "tokenizer_3"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Final latents, and some pictures, of a Stable Diffusion 3 are those of diffusers' pipeline, with T5 and without it.
func TestSD3_diffusers(t *testing.T) {
	set, file := readSD3(t), openGolden(t, "sd3-latents.safetensors")
	for folder, cases := range map[string][]goldenCase{"../tests/tiny/sd3": set.Cases, withoutT5(t): set.Without} {
		p, err := Open(t.Context(), folder, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		for _, c := range cases {
			t.Run(c.name(), func(t *testing.T) { checkCase(t, p, file, c) })
		}
	}
}

// Text embeddings are diffusers': both CLIPs side by side, zeros beside them, and T5's states or zeros behind.
func TestSD3_embeds(t *testing.T) {
	set, file := readSD3(t), openGolden(t, "sd3-text.safetensors")
	whole, part := openTiny(t, "sd3"), withoutT5(t)
	bare, err := Open(t.Context(), part, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bare.Close() })
	for i, prompt := range set.Prompts {
		want := golden(t, file, fmt.Sprintf("prompt_embeds/%d", i)) // [tokens of CLIP and as many of T5, width]
		half := want.Elems() / 2
		for _, p := range []*Pipeline{whole, bare} {
			e, err := p.ldm.Encode(t.Context(), []string{prompt}, true)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(e.Hidden.Shape, []int{1, set.Sequence, want.Shape[1]}) {
				t.Fatalf("embeddings of shape %v", e.Hidden.Shape)
			}
			got := e.Hidden.F32()
			if d := relative(t, got[:half], want.F32()[:half]); d > 1e-5 {
				t.Errorf("%q: CLIP's embeddings differ by %.2g relative", prompt, d)
			}
			if p == bare && slices.ContainsFunc(got[half:], func(v float32) bool { return v != 0 }) {
				t.Errorf("%q: something stands in T5's place", prompt)
			}
			if d := relative(t, got[half:2*half], want.F32()[half:]); p == whole && d > 1e-5 {
				t.Errorf("%q: T5's embeddings differ by %.2g relative", prompt, d)
			}
			if d := relative(t, e.Pooled.F32(), golden(t, file, fmt.Sprintf("pooled_prompt_embeds/%d", i)).F32()); d > 1e-5 {
				t.Errorf("%q: pooled embeddings differ by %.2g relative", prompt, d)
			}
		}
	}
}

// One call of the transformer is torch's.
func TestSD3_transformer(t *testing.T) {
	p, file := openTiny(t, "sd3"), openGolden(t, "sd3-calls.safetensors")
	in := func(name string) []float32 { return golden(t, file, "transformer/in/"+name).F32() }
	want := golden(t, file, "transformer/out/out_hidden_states").F32()
	got := make([]float32, len(want))
	c := ldm.Cond{Hidden: golden(t, file, "transformer/in/encoder_hidden_states"), Pooled: golden(t, file, "transformer/in/pooled_projections")}
	if err := p.ldm.Denoise(t.Context(), got, in("hidden_states"), 2, 8, 8, float64(in("timestep")[0]), c); err != nil {
		t.Fatal(err)
	}
	if d := relative(t, got, want); d > 1e-5 {
		t.Errorf("the prediction differs by %.2g relative", d)
	}
}

// Defaults are those of diffusers' pipeline, and sides are multiples of a token's.
func TestSD3_defaults(t *testing.T) {
	p := openTiny(t, "sd3")
	d := p.Defaults()
	if d.Height != 32 || d.Steps != 28 || d.GuidanceScale != 7 || d.Channels != 16 || d.Factor != 4 || d.Multiple != 8 {
		t.Errorf("defaults %+v", d)
	}
	if _, err := p.Generate(t.Context(), Request{Prompts: []string{"a star"}, Steps: 1, Height: 36}); err == nil || !strings.Contains(err.Error(), "multiple of 8") {
		t.Errorf("a height of half a token: %v", err)
	}
}

// winnow.json says how many tokens T5 reads.
func TestSD3_sequence(t *testing.T) {
	dir := withoutT5(t)
	if err := os.WriteFile(filepath.Join(dir, "winnow.json"), []byte(`{"max_sequence_length": 77}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if e, err := p.ldm.Encode(t.Context(), []string{"a star"}, false); err != nil || e.Hidden.Shape[1] != 32+77 {
		t.Errorf("%v, %v", e.Hidden.Shape, err)
	}
}

// Final latents under an adapter that diffusers wrote for the transformer and both CLIPs are diffusers', as are those of a model that
// it was merged into.
func TestSD3_lora(t *testing.T) {
	data, err := os.ReadFile("../tests/golden/lora/sd3.json")
	if err != nil {
		t.Fatal(err)
	}
	var about struct {
		Prompt        string
		Seed          uint64
		Steps         int
		GuidanceScale float64 `json:"guidance_scale"`
		Latents       []byte
	}
	if err := json.Unmarshal(data, &about); err != nil {
		t.Fatal(err)
	}
	want := make([]float32, len(about.Latents)/4)
	if _, err := binary.Decode(about.Latents, binary.LittleEndian, want); err != nil {
		t.Fatal(err)
	}
	file, merged := adapterFile("sd3", "diffusers"), filepath.Join(t.TempDir(), "merged")
	res, err := ldm.Merge(t.Context(), model.DirFolder("../tests/tiny/sd3"), []ldm.AdapterFile{{Path: file, Scale: 1}}, merged, false)
	if err != nil {
		t.Fatal(err)
	}
	if res.Networks["transformer"] != 19 || res.Networks["text_encoder"] != 8 || res.Networks["text_encoder_2"] != 12 {
		t.Errorf("merged %v", res.Networks)
	}
	for folder, opt := range map[string]*Options{"../tests/tiny/sd3": {LoRA: []LoRA{{File: file}}}, merged: nil} {
		p, err := Open(t.Context(), folder, opt)
		if err != nil {
			t.Fatal(err)
		}
		images, err := p.Generate(t.Context(), Request{
			Prompts: []string{about.Prompt}, Seed: about.Seed, Steps: about.Steps, GuidanceScale: about.GuidanceScale, Height: 32, Width: 32,
		})
		_ = p.Close()
		if err != nil {
			t.Fatal(err)
		}
		tolerance := 1e-5
		if opt == nil { // weights are stored in float16
			tolerance = 2e-3
		}
		e := relative(t, images[0].Latents, want)
		t.Logf("%s: %.1e", folder, e)
		if !(e <= tolerance) {
			t.Errorf("%s: latents differ by %.2g relative", folder, e)
		}
	}
}

// Perturbed attention is told of U-Nets alone.
func TestSD3_pag(t *testing.T) {
	if _, err := Open(t.Context(), "../tests/tiny/sd3", &Options{PAGLayers: []string{"attn"}}); err == nil || !strings.Contains(err.Error(), "joint attention") {
		t.Errorf("error %v", err)
	}
}

// Noise of a flow's steps is drawn, as much as is asked for, and stands beside the picture; the network is asked as often.
func TestSD3_flowNoise(t *testing.T) {
	p := openTiny(t, "sd3")
	draw := func(noise float64) Image {
		t.Helper()
		all, err := p.Generate(t.Context(), Request{Prompts: []string{"a star"}, Steps: 4, GuidanceScale: 1, Seed: 3, FlowNoise: noise})
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	plain, little, much, again := draw(0), draw(1e-5), draw(0.7), draw(0.7)
	if d := relative(t, little.Latents, plain.Latents); d == 0 || d > 1e-3 {
		t.Errorf("a little noise changes latents by %.2g relative", d)
	}
	if d := relative(t, much.Latents, plain.Latents); d < 0.05 {
		t.Errorf("noise of 0.7 changes latents by %.2g relative", d)
	}
	if !slices.Equal(much.Latents, again.Latents) || much.Params.FlowNoise != 0.7 || much.Params.NFE != plain.Params.NFE {
		t.Errorf("%+v", much.Params)
	}
	var bad *RequestError
	if _, err := p.Generate(t.Context(), Request{Prompts: []string{"a star"}, Steps: 4, FlowNoise: 1e6}); !errors.As(err, &bad) || bad.Field != "flow-noise" {
		t.Errorf("too much noise: %v", err)
	}
}

// Searches that branch by the noise of steps do so by a flow's, and say where it is missing.
func TestSD3_searchByNoise(t *testing.T) {
	p := openTiny(t, "sd3")
	sr := miniSearch(24)
	sr.Name, sr.Method, sr.Steps, sr.GuidanceScale = "svdd", sampling.SVDD(sampling.SVDDOptions{Children: 2}), 4, 1
	sr.Verify = func(_ context.Context, _ string, pictures []image.Image) ([]float64, error) {
		out := make([]float64, len(pictures))
		for i, im := range pictures {
			out[i] = float64(im.(*image.NRGBA).Pix[0])
		}
		return out, nil
	}
	if _, err := p.Search(t.Context(), sr); err == nil || !strings.Contains(err.Error(), "flow-euler with a flow noise above 0") {
		t.Errorf("without noise: %v", err)
	}
	sr.FlowNoise = 0.7
	if got, err := p.Search(t.Context(), sr); err != nil || got.Found.Calls < 2 || got.Params.FlowNoise != 0.7 {
		t.Errorf("%+v, %v", got.Found, err)
	}
}
