package assets

import (
	"io/fs"
	"strings"
	"testing"
)

// maxBytes bounds what the embedded models add to the binary.
const maxBytes = 8_000_000

func TestEmbeddedFiles(t *testing.T) {
	tokenizer := []string{"tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json"}
	for _, c := range []struct {
		name string
		tree fs.FS
		want []string
	}{
		{"pipeline", Mini(), append(tokenizer, "model_index.json", "scheduler/scheduler_config.json",
			"text_encoder/model.onnx", "text_encoder/config.json", "unet/model.onnx", "unet/config.json",
			"vae_decoder/model.onnx", "vae_decoder/config.json", "vae_encoder/model.onnx", "vae_encoder/config.json")},
		{"reward", MiniReward(), append(tokenizer, "model.onnx", "reward.json", "reference.json", "preprocessor_config.json")},
	} {
		for _, path := range c.want {
			if info, err := fs.Stat(c.tree, path); err != nil || info.Size() == 0 {
				t.Errorf("%s: %s is missing or empty: %v", c.name, path, err)
			}
		}
	}
}

func TestMiniPrompts(t *testing.T) {
	for name, lines := range map[string]int{"heldout": 500, "validation": 300} {
		data, err := MiniPrompts(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(data), "\n"); got != lines {
			t.Errorf("%s holds %d lines, want %d", name, got, lines)
		}
	}
	if _, err := MiniPrompts("training"); err == nil || !strings.Contains(err.Error(), "heldout or validation") {
		t.Errorf("an unknown set: %v", err)
	}
}

func TestEmbeddedSize(t *testing.T) {
	total := int64(0)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > maxBytes {
		t.Errorf("embedded files take %d bytes, limit %d", total, maxBytes)
	}
}

// An exporter writes the source paths of the machine it ran on into the graph unless told not to.
func TestNoForeignPaths(t *testing.T) {
	for _, tree := range []fs.FS{Mini(), MiniReward()} {
		paths, err := fs.Glob(tree, "*/model.onnx")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Stat(tree, "model.onnx"); err == nil {
			paths = append(paths, "model.onnx")
		}
		if len(paths) == 0 {
			t.Error("no model found")
		}
		for _, path := range paths {
			data, err := fs.ReadFile(tree, path)
			if err != nil {
				t.Fatal(err)
			}
			for _, trace := range []string{"site-packages", "stack_trace", ".py\""} {
				if strings.Contains(string(data), trace) {
					t.Errorf("%s holds %q", path, trace)
				}
			}
		}
	}
}
