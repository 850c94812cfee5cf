package imageproc

import (
	"errors"
	"fmt"
	"image"
	"math"
)

// Preparer turns a picture into the float32 array that a vision tower takes: 3×height×width values, channel after channel.
type Preparer interface {
	Size() (w, h int)
	Prepare(dst []float32, img image.Image) error
}

// Prepare is Process for pictures of any type; alpha is dropped.
func (p *Processor) Prepare(dst []float32, img image.Image) error { return p.Process(dst, Opaque(img)) }

// Letterbox is the preparation of HPSv2: the longer side is resized to Side in floating point, the picture is centred on
// black, and the result is normalised as CLIP's. The whole frame is seen.
type Letterbox struct {
	Side int
	// Legacy resizes without antialiasing, as torchvision before 0.17 did with tensors; published tables of 2023 come from it.
	Legacy bool
}

// Size is the square that the network takes.
func (l Letterbox) Size() (w, h int) { return l.Side, l.Side }

// Prepare fills dst. Alpha is dropped, as Pillow's convert("RGB") does; the original fails on pictures with alpha, and on
// pictures whose longer side is Side already but which are not square.
func (l Letterbox) Prepare(dst []float32, src image.Image) error {
	if len(dst) != 3*l.Side*l.Side {
		return fmt.Errorf("imageproc: destination holds %d values, want %d", len(dst), 3*l.Side*l.Side)
	}
	img := Opaque(src)
	if img.Rect.Empty() {
		return errors.New("imageproc: picture without pixels")
	}
	to := l.target(img.Rect.Dx(), img.Rect.Dy())
	w, h := to.X, to.Y
	if w == 0 || h == 0 {
		return fmt.Errorf("imageproc: a picture of %d×%d would have no pixels left at %d on the longer side; cut it", img.Rect.Dx(), img.Rect.Dy(), l.Side)
	}
	tapsOf := smooth
	if l.Legacy {
		tapsOf = interpolated
	}
	left, top := (l.Side-w)/2, (l.Side-h)/2
	for c := range 3 {
		to := dst[c*l.Side*l.Side:][:l.Side*l.Side]
		fill(to, float32(-clipMean[c]/clipStd[c]))
		p := channel(img, c).resized(w, h, tapsOf, nil)
		for y := range h {
			for x := range w {
				to[(top+y)*l.Side+left+x] = float32((p.v[y*w+x]/255 - clipMean[c]) / clipStd[c])
			}
		}
	}
	return nil
}

// target is the size after resizing.
func (l Letterbox) target(w, h int) image.Point {
	scale := float64(l.Side) / float64(max(w, h))
	return image.Pt(int(math.RoundToEven(float64(w)*scale)), int(math.RoundToEven(float64(h)*scale)))
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

func channel(img *image.NRGBA, c int) field {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	p := field{w, h, make([]float64, w*h)}
	for y := range h {
		for x := range w {
			p.v[y*w+x] = float64(img.Pix[y*img.Stride+4*x+c])
		}
	}
	return p
}
