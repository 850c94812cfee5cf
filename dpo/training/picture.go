package training

import (
	"image"

	"winnow/internal/imageproc"
)

// fit scales a picture so that it covers size, cuts out the middle, and gives values in [-1, 1], channel after channel: torchvision's
// Resize (bilinear, antialiased) and CenterCrop, which the training scripts of the papers use.
func fit(img *image.NRGBA, size Size) []float32 {
	b := img.Bounds()
	scale := max(float64(size.Width)/float64(b.Dx()), float64(size.Height)/float64(b.Dy()))
	w := max(size.Width, int(float64(b.Dx())*scale+0.5))
	h := max(size.Height, int(float64(b.Dy())*scale+0.5))
	if w != b.Dx() || h != b.Dy() {
		img = imageproc.Resize(img, w, h, imageproc.Bilinear)
		b = img.Bounds()
	}
	left, top := (w-size.Width)/2, (h-size.Height)/2
	area := size.Width * size.Height
	out := make([]float32, 3*area)
	for y := range size.Height {
		for x := range size.Width {
			at := img.PixOffset(b.Min.X+left+x, b.Min.Y+top+y)
			for c := range 3 {
				out[c*area+y*size.Width+x] = float32(img.Pix[at+c])/127.5 - 1
			}
		}
	}
	return out
}
