package training

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"winnow/dpo"
	"winnow/internal/miniworld"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeRows makes a set of JSON lines.
func writeRows(t testing.TB, rows ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, row := range rows {
		if err := json.NewEncoder(f).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// writePairs makes pairs of rendered scenes: what the caption says, and another scene.
func writePairs(t testing.TB, n int) string {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 8))
	var rows []any
	for range n {
		right, wrong := miniworld.RandomScene(r), miniworld.RandomScene(r)
		rows = append(rows, map[string]any{
			"prompt": miniworld.Describe(right, r).Caption(r),
			"images": []any{map[string]any{"data": encodePNG(t, wrong.Render())}, map[string]any{"data": encodePNG(t, right.Render())}},
			"label":  0, "soft": 0.2,
		})
	}
	return writeRows(t, rows...)
}

func open(t testing.TB, c Config) *Trainer {
	t.Helper()
	return openModel(t, Mini, c)
}

func openModel(t testing.TB, dir string, c Config) *Trainer {
	t.Helper()
	cache, err := OpenCache(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Open(t.Context(), dir, cache, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// ready opens a trainer with data.
func ready(t testing.TB, c Config, pairs string) *Trainer {
	t.Helper()
	tr := open(t, c)
	d, err := tr.Load(t.Context(), []string{pairs}, nil)
	if err == nil {
		err = tr.Begin(d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// byRedness is a reward with a derivative.
func byRedness() Reward {
	return Reward{
		Name: "redness",
		Score: func(_ context.Context, _ []string, pictures []image.Image) ([]float64, error) {
			out := make([]float64, len(pictures))
			for i, p := range pictures {
				img := p.(*image.NRGBA)
				for k := 0; k < len(img.Pix); k += 4 {
					out[i] += (float64(img.Pix[k]) - float64(img.Pix[k+1])) / 255 / 4096
				}
			}
			return out, nil
		},
		Gradient: func(_ context.Context, _ string, pixels []float32, w, h int) (float64, []float32, error) {
			n := w * h
			g, sum := make([]float32, 3*n), 0.0
			for i := range n {
				sum += float64(pixels[i]-pixels[n+i]) / 2 / float64(n)
				g[i], g[n+i] = 0.5/float32(n), -0.5/float32(n)
			}
			return sum, g, nil
		},
	}
}

// Every method begins where policy and reference agree, with the loss that its objective has there, and learns its batch.
func TestStep_methods(t *testing.T) {
	pairs := writePairs(t, 8)
	first := map[string]float64{"dpo": math.Ln2, "vrpo": math.Ln2, "chats": math.Ln2, "smpo": math.Ln2, "tailorpo": math.Ln2, "spo": math.Ln2, "d3po": math.Ln2, "kto": 0.5}
	for _, name := range []string{"sdpo", "inpo", "rethinking", "flow-dpo", "spin", "seppo", "ncp"} {
		first[name] = math.Ln2
	}
	for _, m := range dpo.Methods() {
		t.Run(m.Name, func(t *testing.T) {
			c := Config{
				Method: m.Name, BatchSize: 4, Steps: 3, LearningRate: 2e-3, Seed: 5, Settings: dpo.Settings{Draws: min(m.Draws, 2)},
				Siblings: Siblings{Prompts: []string{"a red circle", "a blue square", "two green stars", "a ring"}, Reward: byRedness(), Steps: 6, Learn: 2, Paths: 2, Skip: -1, Threshold: -1, Guidance: 3},
			}
			c.Inversion.Steps, c.Self.Steps = 4, 4
			dir := Mini
			if m.Flow {
				dir, c.Size = withScheduler(t, "sd2", []byte(shifted)), Size{32, 32}
			}
			tr := begun(t, dir, pairs, c)
			before := slices.Clone(tr.params[1].Value)
			one, err := tr.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := first[m.Name]; ok && math.Abs(one.Loss-want) > 1e-6 {
				t.Errorf("loss %v before the first step, want %v", one.Loss, want)
			}
			if m.Reference && (math.Abs(one.Margin) > 1e-7 || one.Accuracy != 0.5) {
				t.Errorf("policy and reference differ at first: margin %g, accuracy %v", one.Margin, one.Accuracy)
			}
			if one.GradNorm == 0 || math.IsNaN(one.GradNorm) || slices.Equal(before, tr.params[1].Value) {
				t.Errorf("nothing learnt: gradient norm %v", one.GradNorm)
			}
			for range 2 {
				if _, err := tr.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStep(b *testing.B) {
	pairs := writePairs(b, 64)
	for _, run := range []struct {
		method  string
		threads int
	}{{"dpo", 1}, {"dpo", 2}, {"ncp", 1}} {
		b.Run(fmt.Sprint(run.method, " ", run.threads, " threads"), func(b *testing.B) {
			tr := ready(b, Config{Method: run.method, BatchSize: 32, Steps: 1000, Seed: 1, Threads: run.threads}, pairs)
			for b.Loop() {
				if _, err := tr.Step(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
