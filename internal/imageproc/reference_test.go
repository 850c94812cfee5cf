package imageproc

import (
	"image"
	"image/color"
	"math"
	"testing"
)

// numbered is a picture whose pixels say where they are: x in red and y in green (both modulo 256), x/256 and y/256 in blue.
func numbered(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{byte(x), byte(y), byte(x/256*16 + y/256), 255})
		}
	}
	return img
}

// TestPreparers_cropOffsets: of a picture that needs no resize, torchvision's crop begins at round-half-even of half the
// rest, those of transformers at the whole part of it, so that a 327×224 picture (1216×832 resized) gives two crops.
func TestPreparers_cropOffsets(t *testing.T) {
	for _, c := range []struct {
		w, h, left, top, torchLeft, torchTop int
	}{
		{224, 336, 0, 56, 0, 56},   // 512×768
		{224, 672, 0, 224, 0, 224}, // 333×1000
		{327, 224, 51, 0, 52, 0},   // 1216×832
		{325, 224, 50, 0, 50, 0},   // half of 101 rounds to the even 50
		{224, 224, 0, 0, 0, 0},
	} {
		for name, p := range map[string]Preparer{
			"torchvision": Torchvision{224}, "transformers": CLIP(224), "transformers on torchvision": CLIP(224).With(OnTorchvision),
		} {
			left, top := c.left, c.top
			if name == "torchvision" {
				left, top = c.torchLeft, c.torchTop
			}
			dst := make([]float32, 3*224*224)
			if err := p.Prepare(dst, numbered(c.w, c.h)); err != nil {
				t.Fatal(err)
			}
			level := func(channel int) int {
				return int(math.Round((float64(dst[channel*224*224])*clipStd[channel] + clipMean[channel]) * 255))
			}
			if level(0) != left%256 || level(1) != top%256 || level(2) != left/256*16+top/256 {
				t.Errorf("%s, %d×%d: first pixel is %d, %d, %d; want that of %d, %d", name, c.w, c.h, level(0), level(1), level(2), left, top)
			}
		}
	}
}

// The values give back the mean and the deviation of CLIP's training pictures, which all scorers of its family share.
func TestPreparers_blackAndWhite(t *testing.T) {
	for name, p := range map[string]Preparer{
		"letterbox": Letterbox{Side: 16}, "legacy letterbox": Letterbox{Side: 16, Legacy: true},
		"torchvision": Torchvision{16}, "transformers": CLIP(16), "transformers on torchvision": CLIP(16).With(OnTorchvision),
	} {
		for v, want := range map[byte][3]float64{0: {-1.792263, -1.752097, -1.480220}, 255: {1.930336, 2.074884, 2.145897}} {
			for _, side := range []int{16, 40} {
				img := image.NewNRGBA(image.Rect(0, 0, side, side))
				for i := range img.Pix {
					img.Pix[i] = v
				}
				for i := 3; i < len(img.Pix); i += 4 {
					img.Pix[i] = 255
				}
				dst := make([]float32, 3*16*16)
				if err := p.Prepare(dst, img); err != nil {
					t.Fatal(err)
				}
				for i, got := range dst {
					if math.Abs(float64(got)-want[i/256]) > 1.1e-6 {
						t.Fatalf("%s: level %d is %.7f in channel %d, want %.6f", name, v, got, i/256, want[i/256])
					}
				}
			}
		}
	}
}
