package imageproc

import (
	"errors"
	"fmt"
	"image"
	"math"
)

// Torchvision is the preparation of OpenAI's clip package, which ImageReward and the aesthetic predictor took over: Pillow's
// bicubic resize of the shorter side, a crop from the centre, and only then RGB. So the type of the picture matters:
// palettes are resized by nearest neighbour, and alpha weighs the colours before it is dropped.
type Torchvision struct{ Side int }

// Size is the square that the network takes.
func (t Torchvision) Size() (w, h int) { return t.Side, t.Side }

// Prepare fills dst with 3×Side×Side values, normalised as CLIP's. *image.Paletted, *image.NRGBA with alpha, *image.Gray16,
// *image.CMYK and opaque pictures are resized each as Pillow's modes P, RGBA, I;16, CMYK and RGB are; DecodeModes gives them.
func (t Torchvision) Prepare(dst []float32, src image.Image) error {
	if len(dst) != 3*t.Side*t.Side {
		return fmt.Errorf("imageproc: destination holds %d values, want %d", len(dst), 3*t.Side*t.Side)
	}
	b := src.Bounds()
	if b.Empty() {
		return errors.New("imageproc: picture without pixels")
	}
	w, h := t.target(b.Dx(), b.Dy())
	if w > DefaultLimits.Pixels/h {
		return fmt.Errorf("imageproc: a picture of %d×%d is too long for its width: resized it would be %d×%d; cut it", b.Dx(), b.Dy(), w, h)
	}
	img := resizeMode(src, w, h)
	left, top := int(math.RoundToEven(float64(w-t.Side)/2)), int(math.RoundToEven(float64(h-t.Side)/2))
	for y := range t.Side {
		row := img.Pix[(top+y)*img.Stride+4*left:]
		for x := range t.Side {
			for c := range 3 {
				dst[(c*t.Side+y)*t.Side+x] = float32((float64(row[4*x+c])/255 - clipMean[c]) / clipStd[c])
			}
		}
	}
	return nil
}

// target resizes the shorter side; the longer is truncated.
func (t Torchvision) target(w, h int) (int, int) {
	if w <= h {
		return t.Side, t.Side * h / w
	}
	return t.Side * w / h, t.Side
}

// resizeMode resizes as Pillow does with the mode that it reads a picture of this type in.
func resizeMode(src image.Image, w, h int) *image.NRGBA {
	if b := src.Bounds(); b.Dx() == w && b.Dy() == h {
		return PillowRGB(src)
	}
	switch m := src.(type) {
	case *image.Paletted:
		return nearest(Opaque(m), w, h)
	case *image.Gray16:
		return resizeDeep(m, w, h)
	case *image.CMYK:
		inks := Resize(&image.NRGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect}, w, h, Bicubic)
		return Opaque(&image.CMYK{Pix: inks.Pix, Stride: inks.Stride, Rect: inks.Rect})
	case *image.NRGBA:
		if !m.Opaque() {
			return resizeAlpha(m, w, h)
		}
	}
	return Resize(Opaque(src), w, h, Bicubic)
}

// resizeAlpha resizes colours multiplied by alpha and divides afterwards (Pillow's mode RGBa).
func resizeAlpha(m *image.NRGBA, w, h int) *image.NRGBA {
	b := m.Bounds()
	pre := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		src, dst := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):], pre.Pix[y*pre.Stride:]
		for x := range b.Dx() {
			a := int(src[4*x+3])
			for c := range 3 {
				v := int(src[4*x+c])*a + 128
				dst[4*x+c] = byte((v>>8 + v) >> 8)
			}
			dst[4*x+3] = byte(a)
		}
	}
	out := Resize(pre, w, h, Bicubic)
	for i := 0; i < len(out.Pix); i += 4 {
		if a := int(out.Pix[i+3]); a != 0 && a != 255 {
			for c := range 3 {
				out.Pix[i+c] = clampByte(255 * int(out.Pix[i+c]) / a)
			}
		}
		out.Pix[i+3] = 255
	}
	return out
}

// PillowRGB is Opaque, except that 16-bit grey is cut at 255, as Pillow's convert("RGB") does: nearly all of it becomes white.
// Published scores of such files are reproduced that way only.
func PillowRGB(src image.Image) *image.NRGBA {
	m, ok := src.(*image.Gray16)
	if !ok {
		return Opaque(src)
	}
	b := m.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			setGrey(out.Pix[y*out.Stride+4*x:], int(m.Gray16At(b.Min.X+x, b.Min.Y+y).Y))
		}
	}
	return out
}

func setGrey(dst []byte, v int) {
	g := byte(min(v, 255))
	dst[0], dst[1], dst[2], dst[3] = g, g, g, 255
}

// resizeDeep resizes 16 bits with rounding in each pass, and cuts as PillowRGB does.
func resizeDeep(m *image.Gray16, w, h int) *image.NRGBA {
	b := m.Bounds()
	p := field{b.Dx(), b.Dy(), make([]float64, b.Dx()*b.Dy())}
	for y := range b.Dy() {
		for x := range b.Dx() {
			p.v[y*b.Dx()+x] = float64(m.Gray16At(b.Min.X+x, b.Min.Y+y).Y)
		}
	}
	if rowsFirst(b.Dx(), b.Dy(), w, h) {
		p = p.resized(b.Dx(), h, smooth, clamp16)
	}
	p = p.resized(w, h, smooth, clamp16)
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, v := range p.v {
		setGrey(out.Pix[4*i:], int(v))
	}
	return out
}

// clamp16 rounds to 16 bits.
func clamp16(v float64) float64 { return min(max(math.Floor(v+0.5), 0), 1<<16-1) }
