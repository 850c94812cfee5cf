package training

import (
	"image"
	"image/draw"
	"slices"

	"winnow/internal/imageproc"
)

// fit scales a picture so that it covers size, cuts out the middle, and gives values in [-1, 1], channel after channel: torchvision's
// Resize (bilinear, antialiased) and CenterCrop, which the training scripts of the papers use.
func fit(img *image.NRGBA, size Size) []float32 {
	img = middle(img, size)
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

// mirror turns rows of pixels round.
func mirror(pixels []float32, width int) []float32 {
	out := slices.Clone(pixels)
	for row := range slices.Chunk(out, max(1, width)) {
		slices.Reverse(row)
	}
	return out
}

// mostBeyond is how many times the wanted side a picture may be long after scaling; all but one of those is cut off.
const mostBeyond = 16

// middle cuts pictures of extreme shapes ahead of scaling: one of 1 × 60,000 pixels would become one of gigabytes.
func middle(img *image.NRGBA, size Size) *image.NRGBA {
	b := img.Bounds()
	w := min(b.Dx(), max(1, mostBeyond*b.Dy()*size.Width/size.Height))
	h := min(b.Dy(), max(1, mostBeyond*b.Dx()*size.Height/size.Width))
	if w == b.Dx() && h == b.Dy() {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(out, out.Bounds(), img, b.Min.Add(image.Pt((b.Dx()-w)/2, (b.Dy()-h)/2)), draw.Src)
	return out
}
