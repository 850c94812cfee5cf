package ldm

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"winnow/assets"
	"winnow/internal/model"
)

// prediction runs text encoders and denoiser of a folder.
func prediction(t *testing.T, f model.Folder, adapters ...AdapterFile) []float32 {
	t.Helper()
	p, err := Open(t.Context(), f, Options{Adapters: adapters})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	e, err := p.Encode(t.Context(), []string{"a red circle"}, false)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, p.LatentChannels*8*8)
	for i := range x {
		x[i] = float32(i%13)/7 - 1
	}
	out := make([]float32, len(x))
	if err := p.Denoise(t.Context(), out, x, 1, 8, 8, 500, e.Cond(32, 32)); err != nil {
		t.Fatal(err)
	}
	return out
}

// A merged model predicts what the model with its adapters does, from both exporters, with weights inside and beside the file.
func TestMerge_equalsInjection(t *testing.T) {
	for _, kind := range []string{"sd15", "sdxl"} {
		adapters := []AdapterFile{
			{Path: "../../tests/golden/lora/" + kind + "-diffusers.safetensors", Scale: 0.8},
			{Path: "../../tests/golden/lora/" + kind + "-old.safetensors", Scale: -0.5},
			{Path: "../../tests/golden/lora/" + kind + "-kohya.safetensors", Scale: 1},
		}
		folder := model.DirFolder("../../tests/tiny/" + kind)
		out := filepath.Join(t.TempDir(), "new", "merged")
		res, err := Merge(t.Context(), folder, adapters, out, kind == "sdxl")
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		want, got, plain := prediction(t, folder, adapters...), prediction(t, model.DirFolder(out)), prediction(t, folder)
		far, size := farthest(want, got), 0.0
		for _, x := range want {
			size = max(size, math.Abs(float64(x)))
		}
		if far > 1e-5*size || farthest(plain, want) < 0.02*size {
			t.Errorf("%s: differs by %g of %g; the adapters change %g", kind, far, size, farthest(plain, want))
		}
		t.Logf("%s: differs by %g of %g, changed %v", kind, far, size, res)
		same := func(name string) bool {
			a, err1 := os.ReadFile(folder.Path(name))
			b, err2 := os.ReadFile(filepath.Join(out, name))
			return err1 == nil && err2 == nil && slices.Equal(a, b)
		}
		if !same("vae_decoder/model.onnx") || !same("model_index.json") || same(res.Files[0]) {
			t.Errorf("%s: other files than %v differ, or these do not", kind, res.Files)
		}
		if entries, err := os.ReadDir(filepath.Dir(out)); err != nil || len(entries) != 1 {
			t.Errorf("%s: left behind: %v %v", kind, entries, err)
		}
	}
}

// The embedded model can be merged; a failure leaves nothing.
func TestMerge_failures(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	mini := model.FSFolder(assets.Mini(), "mini")
	if _, err := Merge(t.Context(), mini, []AdapterFile{{Path: "../../tests/golden/lora/sd15-kohya.safetensors", Scale: 1}}, out, false); err == nil {
		t.Error("an adapter of another network: no error")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Merge(stopped, mini, nil, out, false); err == nil {
		t.Error("a stopped merge: no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	if _, err := Merge(t.Context(), mini, nil, dir, false); err == nil {
		t.Error("a folder that exists: no error")
	}
}
