package diffusion

import (
	"errors"
	"testing"

	"winnow/internal/ort"
)

// openORT opens a model on ONNX Runtime. Without the library the test is skipped: it is the one thing that cannot be
// committed. .ci/run installs it.
func openORT(t *testing.T, model string) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), model, &Options{Executor: "onnxruntime", Threads: 1})
	var missing *ort.LibraryError
	if errors.As(err, &missing) && missing.Err == nil {
		t.Skipf("ONNX Runtime is not installed: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Both executors give the same final latents, for the embedded model and for folders whose weights stay in their files.
func TestGenerate_executors(t *testing.T) {
	for name, model := range map[string]string{"mini": Mini, "sd15": "../tests/tiny/sd15", "sdxl": "../tests/tiny/sdxl"} {
		t.Run(name, func(t *testing.T) {
			theirs := openORT(t, model)
			ours, err := Open(t.Context(), model, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			req := Request{Prompts: []string{"a red circle above a blue square"}, Steps: 4, GuidanceScale: 3, Seed: 5, Count: 3, BatchSize: 2}
			want, err := ours.Generate(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := theirs.Generate(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if e := relative(t, got[i].Latents, want[i].Latents); !(e <= 1e-4) {
					t.Errorf("picture %d: latents differ by %.2g relative", i, e)
				}
			}
		})
	}
}
