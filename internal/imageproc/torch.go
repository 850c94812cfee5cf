package imageproc

import (
	"fmt"
	"image"
)

// ResizeTorch resamples bytes as torchvision resizes a byte tensor with
// antialiasing, which is what transformers' default processors do: as Pillow, but
// with weights of 16 bits, as many of them fractional as the largest weight of an
// axis allows, and always the width first. Torch has the filters Lanczos, Bilinear
// and Bicubic; others give an error. Both sides must be positive.
func ResizeTorch(img *image.NRGBA, w, h int, f Filter) (*image.NRGBA, error) {
	if f != Lanczos && f != Bilinear && f != Bicubic {
		return nil, fmt.Errorf("imageproc: torch has filters 1 (Lanczos), 2 (bilinear) and 3 (bicubic), not %d", f)
	}
	k := kernels[f]
	list := k.antialiased(img.Rect.Dx(), w)
	bits := shortBits(list)
	img = resampleRows(img, quantized(list, bits), bits)
	list = k.antialiased(img.Rect.Dy(), h)
	bits = shortBits(list)
	return resampleColumns(img, quantized(list, bits), bits), nil
}

// shortBits is the precision at which the largest weight still fits 16 bits.
func shortBits(list []taps) int {
	const most = 22
	largest := 0.0
	for _, t := range list {
		for _, w := range t.weights {
			largest = max(largest, w)
		}
	}
	for bits := range most {
		if int(0.5+largest*float64(int(1)<<(bits+1))) >= 1<<15 {
			return bits
		}
	}
	return most
}
