package evaluation

import (
	"image"
	"math"
	"math/bits"

	"github.com/disintegration/imaging"
)

// Look is what a picture looks like, apart from what it shows: properties that a reward may have learnt to like for themselves.
type Look struct {
	Brightness float64 // mean luma, 0 to 1
	Contrast   float64 // standard deviation of luma, 0 to ½
	Saturation float64 // mean of (max − min)/max, 0 to 1
	Sharpness  float64 // mean absolute difference of neighbours' luma, 0 to 1
	hash       [4]uint64
}

// property is one number of a Look, with the word for having more of it.
type property struct {
	more string
	of   func(Look) float64
}

var properties = []property{
	{"brighter", func(l Look) float64 { return l.Brightness }},
	{"more contrasty", func(l Look) float64 { return l.Contrast }},
	{"more saturated", func(l Look) float64 { return l.Saturation }},
	{"sharper", func(l Look) float64 { return l.Sharpness }},
}

// lookSide is the size that pictures are looked at in: properties must not depend on the resolution.
const lookSide = 256

// NewLook looks at a picture.
func NewLook(img image.Image) Look {
	small := imaging.Clone(img)
	if b := small.Bounds(); max(b.Dx(), b.Dy()) > lookSide {
		small = imaging.Fit(small, lookSide, lookSide, imaging.Box)
	}
	l := Look{hash: differenceHash(img)}
	w, h := small.Bounds().Dx(), small.Bounds().Dy()
	luma := make([]float64, w*h)
	var sum, squares float64
	for i := range luma {
		y, x := i/w, i%w
		p := small.Pix[y*small.Stride+4*x:]
		r, g, b := float64(p[0])/255, float64(p[1])/255, float64(p[2])/255
		luma[i] = 0.299*r + 0.587*g + 0.114*b
		sum, squares = sum+luma[i], squares+luma[i]*luma[i]
		if top := max(r, g, b); top > 0 {
			l.Saturation += (top - min(r, g, b)) / top
		}
	}
	n := float64(len(luma))
	l.Brightness, l.Saturation = sum/n, l.Saturation/n
	l.Contrast = math.Sqrt(max(squares/n-l.Brightness*l.Brightness, 0))
	steps := 0.0
	for i := range luma {
		if i%w > 0 {
			l.Sharpness += math.Abs(luma[i] - luma[i-1])
			steps++
		}
		if i >= w {
			l.Sharpness += math.Abs(luma[i] - luma[i-w])
			steps++
		}
	}
	if steps > 0 {
		l.Sharpness /= steps
	}
	return l
}

// differenceHash has a bit for every pixel of 16×16 that is brighter than its left neighbour.
func differenceHash(img image.Image) (hash [4]uint64) {
	const side = 16
	small := imaging.Grayscale(imaging.Resize(img, side+1, side, imaging.Box))
	for i := range side * side {
		y, x := i/side, i%side
		row := small.Pix[y*small.Stride:]
		if row[4*(x+1)] > row[4*x] {
			hash[i/64] |= 1 << (i % 64)
		}
	}
	return hash
}

// alike says that two pictures are the same but for noise: at most 3 of 256 bits differ.
func (l Look) alike(o Look) bool {
	n := 0
	for i := range l.hash {
		n += bits.OnesCount64(l.hash[i] ^ o.hash[i])
	}
	return n <= 3
}
