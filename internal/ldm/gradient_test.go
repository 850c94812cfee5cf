package ldm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// What does not fit is refused, and errors of the reward come out as they are; nothing of a failed call is left for the next.
func TestGradients_refuse(t *testing.T) {
	p := openMini(t)
	emb, err := p.Encode(t.Context(), []string{"a red circle"}, false)
	if err != nil {
		t.Fatal(err)
	}
	const n = 4 * 8 * 8
	down := errors.New("down")
	sum := func(_ context.Context, pixels []float32, w, h int) (float64, []float32, error) {
		if w != 64 || h != 64 || len(pixels) != 3*w*h {
			t.Errorf("%d values of a picture of %d×%d", len(pixels), w, h)
		}
		return 1, slices.Repeat([]float32{1}, len(pixels)), nil
	}
	for name, r := range map[string]PixelGradient{
		"down": func(context.Context, []float32, int, int) (float64, []float32, error) { return 0, nil, down },
		"derivatives": func(context.Context, []float32, int, int) (float64, []float32, error) {
			return 0, make([]float32, 5), nil
		},
	} {
		if _, _, err := p.DecodeGradient(t.Context(), make([]float32, n), 1, 8, 8, r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := p.DecodeGradient(t.Context(), make([]float32, n), 2, 8, 8, sum); err == nil {
		t.Error("latents of one picture were taken for two")
	}
	scores, g, err := p.DecodeGradient(t.Context(), make([]float32, 2*n), 2, 8, 8, sum)
	if err != nil || !slices.Equal(scores, []float64{1, 1}) || len(g) != 2*n || !slices.Equal(g[:n], g[n:]) || g[0] == 0 {
		t.Errorf("%v, %d derivatives, %v", scores, len(g), err)
	}
	back := p.Pullback(Guidance{Positive: emb, ByPositive: 1, Height: 8, Width: 8})
	x, out := make([]float32, n), make([]float32, n)
	for name, cot := range map[string]func() ([]float32, error){
		"down": func() ([]float32, error) { return nil, down }, "derivatives": func() ([]float32, error) { return make([]float32, 3), nil },
	} {
		if _, err := back(t.Context(), out, x, 500, cot); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := back(t.Context(), out[:5], x[:5], 500, nil); err == nil {
		t.Error("a part of a picture was taken")
	}
	// The prediction is that of Denoise.
	want := make([]float32, n)
	for i := range x {
		x[i] = float32(i%13)/7 - 1
	}
	if err := p.Denoise(t.Context(), want, x, 1, 8, 8, 500, emb.Cond(64, 64)); err != nil {
		t.Fatal(err)
	}
	if _, err := back(t.Context(), out, x, 500, func() ([]float32, error) { return make([]float32, n), nil }); err != nil {
		t.Fatal(err)
	}
	for i := range out {
		if d := out[i] - want[i]; d > 1e-5 || d < -1e-5 {
			t.Fatalf("prediction %d is %v, Denoise says %v", i, out[i], want[i])
		}
	}
}
