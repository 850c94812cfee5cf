package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"winnow/diffusion"
	"winnow/internal/pngmeta"
	"winnow/rewards"
)

func TestSlug(t *testing.T) {
	for prompt, want := range map[string]string{
		"a red circle, above: a blue square!": "a-red-circle-above-a-blue-square",
		"  ../../etc/passwd ":                 "etc-passwd",
		"Naïve CAFÉ 猫":                        "naïve-café-猫",
		"!!!":                                 "picture",
		"":                                    "picture",
		strings.Repeat("long ", 30):           "long-long-long-long-long-long-long-long-long-lo",
	} {
		if got := slug(prompt); got != want || len(got) > slugLength {
			t.Errorf("slug(%q) = %q, want %q", prompt, got, want)
		}
	}
}

func TestOutput_names(t *testing.T) {
	p := diffusion.Params{Prompt: "a cat", Seed: 7}
	for value, want := range map[string]string{
		"out":                               "out/a-cat-7.png",
		"a/b/":                              "a/b/a-cat-7.png",
		"x/{index}.png":                     "x/00003.png",
		"{prompt}_{seed}_{seed}-{more}.PNG": "a-cat_7_7-{more}.PNG",
	} {
		o, err := newOutput(value, 2)
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got := filepath.ToSlash(filepath.Join(o.folder, o.name(p, 2))); got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	if _, err := newOutput("one.png", 1); err != nil {
		t.Errorf("a single picture under a plain name: %v", err)
	}
}

// Every failure has the exit code that the contract states, wrapped or not.
func TestExplain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		code int
	}{
		{t.Context(), errors.New("broken"), ExitFailed},
		{t.Context(), usagef("wrong"), ExitUsage},
		{t.Context(), &diffusion.RequestError{Field: "steps", Value: "0", Why: "no"}, ExitUsage},
		{t.Context(), &rewards.PromptTooLongError{}, ExitUsage},
		{t.Context(), &rewards.ArgumentError{Why: "no"}, ExitUsage},
		{t.Context(), &partialError{1, 2}, ExitPartial},
		{t.Context(), context.Canceled, ExitFailed}, // a cancellation that is not ours is a failure
		{ctx, context.Canceled, ExitInterrupted},
		{ctx, errors.New("broken"), ExitFailed}, // a real failure is not hidden by a late signal
	} {
		for _, err := range []error{c.err, fmt.Errorf("during work: %w", c.err), errors.Join(c.err, nil)} {
			if code, message := explain(c.ctx, err); code != c.code || message == "" {
				t.Errorf("%v: code %d (%q), want %d", err, code, message, c.code)
			}
		}
	}
}

func TestEncodePNG_carriesEverySetting(t *testing.T) {
	pipe, err := diffusion.Open(t.Context(), diffusion.Mini, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	images, err := pipe.Generate(t.Context(), diffusion.Request{Prompts: []string{"naïve 猫, \"x\""}, NegativePrompt: "blur", Steps: 1, GuidanceScale: 2.5, Seed: 1 << 63})
	if err != nil {
		t.Fatal(err)
	}
	data, err := encodePNG(images[0])
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := pngmeta.Read(bytes.NewReader(data))
	if err != nil || len(chunks) != 2 {
		t.Fatalf("%v, %v", chunks, err)
	}
	p := pngmeta.ParseParameters(chunks[0].Text)
	for name, want := range map[string]string{"Steps": "1", "CFG scale": "2.5", "Seed": "9223372036854775808", "Size": "64x64", "Model": "mini"} {
		if got := p.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if p.Prompt != "naïve 猫, \"x\"" || p.NegativePrompt != "blur" {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(chunks[1].Text, `"seed":9223372036854775808`) {
		t.Errorf("JSON: %s", chunks[1].Text)
	}
}

func TestPathError(t *testing.T) {
	_, err := os.Open("/nonexistent/file")
	if got := pathError("open", "mine", err); got.Error() != "cannot open mine: no such file or directory" || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("%v", got)
	}
	if pathError("open", "mine", nil) != nil {
		t.Error("no error became one")
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{9999: "9999", 10000: "10.0 k", 1_250_000: "1.25 M", 2_000_000_000: "2.00 G"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}
