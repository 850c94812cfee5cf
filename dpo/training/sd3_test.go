package training

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/dpo"
	"winnow/internal/lora"
)

// Every method that does not look into a U-Net learns LoRAs of the transformer (levels of pure noise have no weight by their signal), and
// those of preference begin where policy and reference agree.
func TestSD3_methods(t *testing.T) {
	pairs := writePairs(t, 8)
	for _, m := range dpo.Methods() {
		if m.Features {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			c := Config{
				Method: m.Name, BatchSize: 2, Steps: 2, LearningRate: 2e-3, Seed: 5, Size: Size{32, 32}, Rank: 2, TimestepWeighting: "none", Settings: dpo.Settings{Draws: min(m.Draws, 2)},
				Siblings: Siblings{Prompts: []string{"a red circle", "a blue square"}, Reward: byRedness(), Steps: 6, Learn: 2, Paths: 2, Skip: -1, Threshold: -1, Guidance: 3},
			}
			c.Inversion.Steps, c.Self.Steps = 3, 3
			tr := begun(t, tiny("sd3"), pairs, c)
			one, err := tr.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if one.GradNorm == 0 || math.IsNaN(one.GradNorm) || math.IsNaN(one.Loss) {
				t.Errorf("nothing learnt: %+v", one)
			}
			if m.Reference && math.Abs(one.Margin) > 1e-5 {
				t.Errorf("policy and reference differ at first: margin %g", one.Margin)
			}
			if _, err := tr.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Adapters of a run are written for the transformer, under the names that diffusers reads, and are read again.
func TestSD3_adapters(t *testing.T) {
	tr := begun(t, tiny("sd3"), writePairs(t, 4), Config{Method: "flow-dpo", BatchSize: 2, Steps: 1, Size: Size{32, 32}, Rank: 2, TrainText: true})
	if _, err := tr.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	paths, err := tr.WriteAdapters(t.TempDir(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		f, s, err := lora.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		// q, k, v and out of two joint attentions and of the second one in the first block; of two and three layers of the CLIPs.
		if n := f.Networks; s.Layout != lora.Diffusers || len(n[lora.Transformer]) != 12 || len(n[lora.TextEncoder]) != 8 || len(n[lora.TextEncoder2]) != 12 {
			t.Errorf("%s: %d, %d and %d modules in layout %s", path, len(n[lora.Transformer]), len(n[lora.TextEncoder]), len(n[lora.TextEncoder2]), s.Layout)
		}
	}
}

// What is kept of texts belongs to a number of T5's tokens, and sides are multiples of a token's.
func TestSD3_settings(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny("sd3"))); err != nil {
		t.Fatal(err)
	}
	pairs, c := writePairs(t, 2), Config{Method: "flow-dpo", BatchSize: 2, Steps: 1, Size: Size{32, 32}}
	whole := begun(t, dir, pairs, c)
	if err := os.WriteFile(filepath.Join(dir, "winnow.json"), []byte(`{"max_sequence_length": 77}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(whole.identity, begun(t, dir, pairs, c).identity) {
		t.Error("embeddings of 77 tokens would be taken for those of 256")
	}
	cache, err := OpenCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	c.Size.Width = 36
	if _, err := Open(t.Context(), dir, cache, c); err == nil || !strings.Contains(err.Error(), "multiples of 8") {
		t.Errorf("half a token: %v", err)
	}
}

// Zeros in the place of a T5 that is left out are not kept, and come back.
func TestSD3_cachedText(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tiny("sd3"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"text_encoder_3", "tokenizer_3"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tr := begun(t, dir, writePairs(t, 2), Config{Method: "flow-dpo", BatchSize: 2, Steps: 1, Size: Size{32, 32}})
	want, err := tr.ldm.Encode(t.Context(), []string{"a star"}, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // made, and taken from the cache
		got, err := tr.embed(t.Context(), []string{"a star"})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Hidden.Shape, want.Hidden.Shape) || !slices.Equal(got.Hidden.F32(), want.Hidden.F32()) || !slices.Equal(got.Pooled.F32(), want.Pooled.F32()) {
			t.Error("other embeddings than the pipeline's")
		}
	}
	key := keyOf(tr.origin, []byte("text"), []byte("a star"))
	if _, ok, err := tr.cache.Get(t.Context(), key, 32*48+20); !ok || err != nil {
		t.Errorf("the cache holds no row of CLIP's 32 tokens: %v", err)
	}
}
