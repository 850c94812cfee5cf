package rewards

import (
	"image"
	"image/color"
	"math"
	"testing"
)

// The derivative along its own direction is the slope that central differences of the score measure.
func TestGradient_equalsDifferences(t *testing.T) {
	g := readPublished(t)
	for name, c := range publishedCases {
		m := openTiny(t, name, c.folder, &Options{Truncate: true})
		pixels, err := m.prepare([]Sample{{Image: g.picture(t, 30)}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		score, grad, err := m.Gradient(t.Context(), g.Prompts[0], pixels)
		if err != nil {
			t.Fatal(err)
		}
		if want := g.Scores[name][30]; math.Abs(score-want) > c.tolerance {
			t.Errorf("%s: score %v, want %v", name, score, want)
		}
		var norm float64
		for _, v := range grad {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		if norm == 0 {
			if want := g.Scores[name][30]; want != 0 { // CLIPScore is cut at 0
				t.Errorf("%s: no gradient at %v", name, want)
			}
			continue
		}
		step := 0.02
		if name == SigLIPProbability { // the logit moves by 0.6 in that step, and the logistic function bends
			step = 0.002
		}
		at := func(side float64) float64 {
			moved := make([]float32, len(pixels))
			for i, v := range pixels {
				moved[i] = v + float32(side*step*float64(grad[i])/norm)
			}
			s, _, err := m.Gradient(t.Context(), g.Prompts[0], moved)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if got := (at(1) - at(-1)) / (2 * step); math.Abs(got-norm) > 0.01*norm {
			t.Errorf("%s: slope %v, differences %v", name, norm, got)
		}
	}
	if _, _, err := openTiny(t, Aesthetic, Aesthetic, nil).Gradient(t.Context(), "", make([]float32, 5)); err == nil {
		t.Error("short picture accepted")
	}
}

// pixelsOf is a picture as a VAE decoder gives it.
func pixelsOf(img *image.NRGBA) []float32 {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := make([]float32, 3*w*h)
	for i := range out {
		out[i] = float32(img.Pix[img.PixOffset(i%w, i/w%h)+i/(w*h)])/127.5 - 1
	}
	return out
}

// A smooth picture in floating point scores nearly what it scores in bytes, and the derivative along its own direction is the
// slope that central differences measure, through resizing, cropping and the network.
func TestPixelGradient_equalsDifferences(t *testing.T) {
	g := readPublished(t)
	const w, h = 45, 38
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		x, y := float64(i%w), float64(i/w)
		img.SetNRGBA(i%w, i/w, color.NRGBA{byte(128 + 80*math.Sin(x/7+y/11)), byte(100 + 60*math.Cos(y/6)), byte(40 + 4*x), 255})
	}
	pixels := pixelsOf(img)
	for name, c := range publishedCases {
		m := openTiny(t, name, c.folder, &Options{Truncate: true})
		bytes, err := m.Score(t.Context(), g.Prompts[0], []image.Image{img})
		if err != nil {
			t.Fatal(err)
		}
		score, grad, err := m.PixelGradient(t.Context(), g.Prompts[0], pixels, w, h)
		if err != nil {
			t.Fatal(err)
		}
		norm := 0.0
		for _, v := range grad {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		// Rounding moves a pixel by half a level at most, in a random direction, in two passes.
		if limit := norm + c.tolerance; math.Abs(score-bytes[0]) > 0.05*limit {
			t.Errorf("%s: %v in floating point, %v in bytes, slope %v", name, score, bytes[0], norm)
		}
		if norm == 0 {
			if score != 0 { // CLIPScore is cut at 0
				t.Errorf("%s: no gradient at %v", name, score)
			}
			continue
		}
		step := 0.02
		if name == SigLIPProbability {
			step = 0.002
		}
		at := func(side float64) float64 {
			moved := make([]float32, len(pixels))
			for i, v := range pixels {
				moved[i] = v + float32(side*step*float64(grad[i])/norm)
			}
			s, _, err := m.PixelGradient(t.Context(), g.Prompts[0], moved, w, h)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if got := (at(1) - at(-1)) / (2 * step); math.Abs(got-norm) > 0.01*norm {
			t.Errorf("%s: slope %v, differences %v", name, norm, got)
		}
		t.Logf("%s: %.6f, in bytes %.6f; slope %.4g", name, score, bytes[0], norm)
	}
}

func TestPixelGradient_refuses(t *testing.T) {
	m := openTiny(t, Aesthetic, Aesthetic, nil)
	for _, size := range [][2]int{{0, 0}, {4, 3}, {-4, -4}} {
		if _, _, err := m.PixelGradient(t.Context(), "", make([]float32, 3*16), size[0], size[1]); err == nil {
			t.Errorf("%v was taken", size)
		}
	}
}
