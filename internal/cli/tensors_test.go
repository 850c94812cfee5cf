package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/assets"
	"winnow/internal/ldm"
	"winnow/internal/model"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Embeddings of the model's own text encoder, given as a file, must make the
// very pictures that the prompt makes.
func TestGenerate_promptEmbedsReplaceTheTextEncoder(t *testing.T) {
	t.Chdir(t.TempDir())
	pipe, err := ldm.Open(t.Context(), model.FSFolder(assets.Mini(), "mini"), ldm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	cond, err := pipe.Encode(t.Context(), []string{"a red circle", "a blue square"}, false)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := pipe.EncodeEmpty(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write(t, "e.safetensors", map[string]tensor.Tensor{"prompt_embeds": cond.Hidden, "negative_prompt_embeds": empty.Hidden})
	common := []string{"generate", "--steps", "3", "--num-images", "1", "--no-rank", "--guidance-scale", "3"}
	run(t, ExitOK, append(common, "--output", "{index}.png", "a red circle", "a blue square")...)
	run(t, ExitOK, append(common, "--output", "e-{index}.png", "--prompt-embeds", "e.safetensors")...)
	run(t, ExitOK, append(common, "--output", "n-{index}.png", "--prompt-embeds", "e.safetensors", "a", "b")...)
	for _, name := range []string{"00001.png", "00002.png"} {
		want := pixels(t, name)
		for _, prefix := range []string{"e-", "n-"} {
			if !bytes.Equal(pixels(t, prefix+name), want) {
				t.Errorf("%s%s differs from %s", prefix, name, name)
			}
		}
	}
}

// pixels is the pixel data of a PNG: what stands behind the text chunks.
func pixels(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("IDAT"))
	if at < 0 {
		t.Fatalf("%s has no pixels", path)
	}
	return data[at:]
}

func write(t *testing.T, path string, tensors map[string]tensor.Tensor) {
	t.Helper()
	if err := safetensors.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

// run executes the command line and returns both streams.
func run(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := Run(t.Context(), args, &out, &errs); got != code {
		t.Fatalf("%q: exit %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestReadEmbeds_refusals(t *testing.T) {
	t.Chdir(t.TempDir())
	f := func(shape ...int) tensor.Tensor { return tensor.New(tensor.F32, shape...) }
	for want, tensors := range map[string]map[string]tensor.Tensor{
		`holds no tensor "prompt_embeds"; it holds ["x"]`:                       {"x": f(1)},
		`tensor "prompt_embeds" is float32[2 3]; want floating point of rank 3`: {"prompt_embeds": f(2, 3)},
		`tensor "prompt_embeds" is int64[1 2 3]`:                                {"prompt_embeds": tensor.New(tensor.I64, 1, 2, 3)},
		"negative_prompt_embeds is [1 5 6], but prompt_embeds is [1 4 6]":       {"prompt_embeds": f(1, 4, 6), "negative_prompt_embeds": f(1, 5, 6)},
		`tensor "pooled_prompt_embeds" is`:                                      {"prompt_embeds": f(1, 4, 6), "pooled_prompt_embeds": f(6)},
	} {
		write(t, "bad.safetensors", tensors)
		_, _, err := readEmbeds("bad.safetensors")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, _, err := readEmbeds(filepath.Join("none", "x.safetensors")); err == nil {
		t.Error("missing file accepted")
	}
	write(t, "xl.safetensors", map[string]tensor.Tensor{
		"prompt_embeds": f(2, 4, 6), "negative_prompt_embeds": f(1, 4, 6), "pooled_prompt_embeds": f(2, 5), "negative_pooled_prompt_embeds": f(1, 5),
	})
	e, rows, err := readEmbeds("xl.safetensors")
	if err != nil || rows != 2 || e.Tokens != 4 || e.Dim != 6 || e.PooledDim != 5 || len(e.PooledNegative) != 5 || len(e.Prompt) != 48 {
		t.Errorf("%+v, %d rows, %v", e, rows, err)
	}
}
