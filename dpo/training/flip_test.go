package training

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"winnow/internal/monitor"
)

// writeMirrored copies a set of writePairs with its pictures mirrored.
func writeMirrored(t *testing.T, pairs string) string {
	t.Helper()
	data, err := os.ReadFile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for line := range bytes.Lines(data) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		for _, im := range row["images"].([]any) {
			file, err := base64.StdEncoding.DecodeString(im.(map[string]any)["data"].(string))
			if err != nil {
				t.Fatal(err)
			}
			img, err := png.Decode(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			b := img.Bounds()
			turned := image.NewNRGBA(b)
			for y := b.Min.Y; y < b.Max.Y; y++ {
				for x := b.Min.X; x < b.Max.X; x++ {
					turned.Set(b.Min.X+b.Max.X-1-x, y, img.At(x, y))
				}
			}
			im.(map[string]any)["data"] = encodePNG(t, turned)
		}
		if err := json.NewEncoder(&out).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "mirrored.jsonl")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Latents of flipped pairs are those of the mirrored files; both pictures of a pair are flipped or none; half of all draws are; and what
// the cache keeps of a draw is told apart.
func TestFlip_latents(t *testing.T) {
	set := writePairs(t, 6)
	c := Config{Method: "dpo", Mode: true, Seed: 5, RandomFlip: true, BatchSize: 2}
	tr := ready(t, c, set)
	plain := c
	plain.RandomFlip = false
	as, turned := ready(t, plain, set), ready(t, plain, writeMirrored(t, set))
	source := func(tr *Trainer) *pairs { return tr.source.(*pairs) }
	flipped := 0
	const epochs = 50
	for i := range 6 {
		for epoch := range epochs {
			got, err := source(tr).draw(t.Context(), i, epoch)
			if err != nil {
				t.Fatal(err)
			}
			from := as
			if got.mirrored {
				flipped, from = flipped+1, turned
			}
			want, err := source(from).draw(t.Context(), i, epoch)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.chosen, want.chosen) || !slices.Equal(got.rejected, want.rejected) {
				t.Fatalf("pair %d, epoch %d, mirrored %v: latents are off by %.1e and %.1e", i, epoch, got.mirrored, apart(got.chosen, want.chosen), apart(got.rejected, want.rejected))
			}
			other := got
			other.mirrored = !got.mirrored
			if source(tr).key(got, epoch, 0) == source(tr).key(other, epoch, 0) {
				t.Fatal("the reference's errors of a pair and of its mirror image have one key")
			}
			if !got.mirrored && source(tr).key(got, epoch, 0) != source(as).key(got, epoch, 0) {
				t.Fatal("errors of a pair as it is have another key with flips than without")
			}
		}
	}
	if flipped < 6*epochs*2/5 || flipped > 6*epochs*3/5 {
		t.Errorf("%d of %d draws are flipped", flipped, 6*epochs)
	}
}

// A run with flips goes on from a checkpoint bit for bit, with a cache that has been used by another run, too.
func TestFlip_resume(t *testing.T) {
	pairs := writePairs(t, 6)
	for _, method := range []string{"dpo", "smpo"} {
		t.Run(method, func(t *testing.T) {
			c := Config{Method: method, RandomFlip: true, BatchSize: 2, Steps: 6, Rank: 2, Seed: 4, LearningRate: 5e-3}
			steps := func(tr *Trainer, n int) {
				t.Helper()
				for range n {
					if _, err := tr.Step(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			factors := func(tr *Trainer) (all []float32) {
				for _, p := range tr.params {
					all = append(all, p.Value...)
				}
				return all
			}
			one := ready(t, c, pairs)
			steps(one, 3)
			output := t.TempDir()
			if _, err := one.save(output, monitor.GuardState{}); err != nil {
				t.Fatal(err)
			}
			steps(one, 3)
			two := ready(t, c, pairs)
			if err := two.Resume(output, "latest"); err != nil {
				t.Fatal(err)
			}
			steps(two, 3)
			if !slices.Equal(factors(one), factors(two)) {
				t.Error("a resumed run ends elsewhere")
			}
			plain := c
			plain.RandomFlip = false
			three := ready(t, plain, pairs)
			if err := three.Resume(output, "latest"); err == nil {
				t.Error("a run without flips goes on from one with flips")
			}
			steps(three, 6)
			if slices.Equal(factors(one), factors(three)) {
				t.Error("flips change nothing")
			}
		})
	}
}
