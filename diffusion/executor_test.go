package diffusion

import (
	"testing"

	"winnow/internal/ort/orttest"
)

// Both executors give the same final latents, for the embedded model and for folders whose weights stay in their files.
func TestGenerate_executors(t *testing.T) {
	for name, model := range map[string]string{"mini": Mini, "sd15": "../tests/tiny/sd15", "sdxl": "../tests/tiny/sdxl", "sd3": "../tests/tiny/sd3"} {
		t.Run(name, func(t *testing.T) {
			orttest.Executor(t) // skips without a library
			theirs, err := Open(t.Context(), model, &Options{Executor: "onnxruntime", Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
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
