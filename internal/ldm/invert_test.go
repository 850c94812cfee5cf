package ldm

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"winnow/internal/miniworld"
	"winnow/internal/tensor"
	"winnow/sampling"
)

// How far round trips of rendered scenes miss on the embedded model, root mean square in latents. The figures stand in the comment of
// sampling's Invert: WINNOW_INVERT=1 prints them with -v, in two minutes.
func TestInvertMiniPictures(t *testing.T) {
	scenes, counts := 4, []int{5}
	if os.Getenv("WINNOW_INVERT") != "" {
		scenes, counts = 16, []int{5, 10, 20, 50}
	}
	p := openMini(t)
	latents, captions := encodedScenes(t, p, scenes)
	emb, err := p.Encode(t.Context(), captions, false)
	if err != nil {
		t.Fatal(err)
	}
	model := func(ctx context.Context, dst, x []float32, rows []int, ts float64) error {
		return p.Denoise(ctx, dst, x, len(rows), 8, 8, ts, emb.Pick(rows).Cond(64, 64))
	}
	sched, err := sampling.New(p.Scheduler)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range counts {
		g, err := sched.InversionGrid(n)
		if err != nil {
			t.Fatal(err)
		}
		miss := map[string]float64{}
		levels := slices.Repeat([]int{n}, scenes)
		for _, c := range []struct {
			name string
			o    sampling.InvertOptions
		}{
			{"ddim", sampling.InvertOptions{}},
			{"renoise", sampling.InvertOptions{Method: sampling.InvertReNoise}},
			{"fixed-point", sampling.InvertOptions{Method: sampling.InvertFixedPoint}},
			{"fixed-point, 3 iterations", sampling.InvertOptions{Method: sampling.InvertFixedPoint, Iterations: 3}},
			{"renoise, 9 iterations from 8", sampling.InvertOptions{Method: sampling.InvertReNoise, Iterations: 9, AverageFrom: 8}},
		} {
			up, err := g.Invert(t.Context(), model, latents, levels, c.o)
			if err != nil {
				t.Fatal(err)
			}
			back, err := g.Reconstruct(t.Context(), model, up.X, levels)
			if err != nil {
				t.Fatal(err)
			}
			each, err := sampling.RootMeanSquare(latents, back, scenes)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range each {
				miss[c.name] += e / float64(scenes)
			}
			t.Logf("%3d levels, %-28s %.4f", n, c.name, miss[c.name])
		}
		if !(miss["renoise"] < miss["ddim"] && miss["fixed-point"] < miss["ddim"] && miss["fixed-point, 3 iterations"] < miss["fixed-point"]) {
			t.Errorf("%d levels: %v", n, miss)
		}
	}
}

// encodedScenes are latents of rendered scenes (means of the posterior) and their full captions.
func encodedScenes(t *testing.T, p *Pipeline, n int) (latents []float32, captions []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	x := tensor.New(tensor.F32, n, 3, 64, 64)
	for i := range n {
		scene := miniworld.RandomScene(r)
		captions = append(captions, miniworld.DescribeFully(scene).Caption(r))
		img := scene.Render()
		for k := range 64 * 64 {
			for c := range 3 {
				x.F32()[(3*i+c)*64*64+k] = float32(img.Pix[4*k+c])/127.5 - 1
			}
		}
	}
	port := p.encoder.Inputs()[0]
	out, err := p.encoder.Run(t.Context(), map[string]tensor.Tensor{port.Name: port.Floats(x.F32(), x.Shape...)})
	if err != nil {
		t.Fatal(err)
	}
	y := out[p.encoder.Outputs()[0].Name]
	size := p.LatentChannels * 64
	each := len(y.F32()) / n // mean and log variance, or a sample
	var power float64
	for i := range n {
		for k := range size {
			a := p.toDecoder[k/64]
			v := (float64(y.F32()[i*each+k]) - a.shift) / a.scale
			latents = append(latents, float32(v))
			power += v * v / float64(n*size)
		}
	}
	if rms := math.Sqrt(power); rms < 0.7 || rms > 1.4 {
		t.Fatalf("latents of rendered scenes have root mean square %v, want about 1 (output %v of %v)", rms, y.Shape, p.encoder.Outputs())
	}
	return latents, captions
}
