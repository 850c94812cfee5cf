package diffusion

import (
	"os"
	"path/filepath"
	"testing"
)

// optimisedFolder is tests/tiny/sd15 with networks that ONNX Runtime's optimiser has rewritten, under the class names of
// diffusers' ONNX pipelines. suffix "_f16" takes the half-precision forms where there are some.
func optimisedFolder(t *testing.T, suffix string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../tests/tiny/sd15")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "unet/model.onnx_data")); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"text_encoder", "unet", "vae_decoder", "vae_encoder"} {
		data, err := os.ReadFile("../tests/optimised/sd15_" + part + suffix + ".onnx")
		if err != nil {
			data, err = os.ReadFile("../tests/optimised/sd15_" + part + ".onnx")
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, part, "model.onnx"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	index := `{"_class_name": "OnnxStableDiffusionPipeline", "scheduler": ["diffusers", "PNDMScheduler"],
		"text_encoder": ["diffusers", "OnnxRuntimeModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
		"unet": ["diffusers", "OnnxRuntimeModel"], "vae_decoder": ["diffusers", "OnnxRuntimeModel"],
		"vae_encoder": ["diffusers", "OnnxRuntimeModel"]}`
	if err := os.WriteFile(filepath.Join(dir, "model_index.json"), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestGenerate_optimised: a folder that ONNX Runtime's optimiser has rewritten, which ONNX Runtime has no CPU kernels for,
// yields the pictures of the folder before that. Half precision changes the weights' products only through the types of
// inputs and results.
func TestGenerate_optimised(t *testing.T) {
	plain := openTiny(t, "sd15")
	for suffix, limit := range map[string]float64{"": 1e-4, "_f16": 1e-2} {
		p, err := Open(t.Context(), optimisedFolder(t, suffix), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		for _, scheduler := range []string{"ddim", "euler", "dpmpp-2m"} {
			r := Request{
				Prompts: []string{"a big red circle left of a small blue star"}, NegativePrompt: "blurry", Scheduler: scheduler,
				Steps: 8, GuidanceScale: 4, Height: 32, Width: 48, Seed: 7, Count: 2,
			}
			want, err := plain.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Generate(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				e := relative(t, got[i].Latents, want[i].Latents)
				t.Logf("%s%s, picture %d: relative error of the final latents %.2g", scheduler, suffix, i, e)
				if !(e <= limit) {
					t.Errorf("%s%s: final latents of picture %d differ by %.2g, allowed %g", scheduler, suffix, i, e, limit)
				}
			}
		}
	}
}
