package imageproc

import (
	"image"
	"image/color"
)

// opaque copies any decoded image into NRGBA with alpha 255, keeping the stored
// colours: nothing is blended and nothing is premultiplied.
func opaque(img image.Image, format string) *image.NRGBA {
	if m, ok := img.(*image.NRGBA); ok && format == "JPEG" {
		return m // ours, and so already
	}
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	switch m := img.(type) {
	case *image.YCbCr:
		switch {
		case format == "WebP":
			fromVP8(out, m)
		case startsOnSample(m):
			fromJFIF(out, m)
		default:
			fromAny(out, m)
		}
	case *image.NYCbCrA: // WebP with alpha
		fromVP8(out, &m.YCbCr)
	case *image.Paletted:
		fromPalette(out, m)
	case *image.NRGBA:
		copyRows(out, m.Pix, m.Stride, 4, [3]int{0, 1, 2})
	case *image.RGBA:
		copyRows(out, m.Pix, m.Stride, 4, [3]int{0, 1, 2})
		if format == "TIFF" { // elsewhere only opaque images come as RGBA
			unpremultiply(out, m)
		}
	case *image.NRGBA64: // the high byte comes first
		copyRows(out, m.Pix, m.Stride, 8, [3]int{0, 2, 4})
	case *image.RGBA64:
		copyRows(out, m.Pix, m.Stride, 8, [3]int{0, 2, 4})
	case *image.Gray:
		copyRows(out, m.Pix, m.Stride, 1, [3]int{})
	case *image.Gray16:
		fromGray16(out, m, format)
	case *image.CMYK:
		fromCMYK(out, m)
	default:
		fromAny(out, img)
	}
	return out
}

// copyRows takes bytes at the given offsets of every pixel as R, G and B.
func copyRows(out *image.NRGBA, pix []byte, stride, size int, at [3]int) {
	w, h := out.Rect.Dx(), out.Rect.Dy()
	for y := range h {
		dst, src := out.Pix[y*out.Stride:], pix[y*stride:]
		for x := range w {
			d, s := dst[4*x:4*x+4], src[size*x:size*x+size]
			d[0], d[1], d[2], d[3] = s[at[0]], s[at[1]], s[at[2]], 255
		}
	}
}

// fromGray16 clips files at 255, which leaves most of them white: Pillow's
// convert("RGB") does it, so the originals score such pictures so. Pictures that
// were made, not read, keep their high byte.
func fromGray16(out *image.NRGBA, m *image.Gray16, format string) {
	copyRows(out, m.Pix, m.Stride, 2, [3]int{})
	if format == "" {
		return
	}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			if s := m.Pix[y*m.Stride+2*x:]; s[0] == 0 {
				v := s[1]
				copy(out.Pix[y*out.Stride+4*x:], []byte{v, v, v})
			} else {
				copy(out.Pix[y*out.Stride+4*x:], []byte{255, 255, 255})
			}
		}
	}
}

// unpremultiply divides colours by alpha, rounding down as Pillow does.
func unpremultiply(out *image.NRGBA, m *image.RGBA) {
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			s, d := m.Pix[y*m.Stride+4*x:][:4], out.Pix[y*out.Stride+4*x:][:3]
			for c := range d {
				if s[3] == 0 {
					d[c] = 0
				} else {
					d[c] = clampByte(int(s[c]) * 255 / int(s[3]))
				}
			}
		}
	}
}

// fromCMYK multiplies each ink by the black, rounded as Pillow does (Convert.c).
func fromCMYK(out *image.NRGBA, m *image.CMYK) {
	w, h := out.Rect.Dx(), out.Rect.Dy()
	for y := range h {
		for x := range w {
			s, d := m.Pix[y*m.Stride+4*x:][:4], out.Pix[y*out.Stride+4*x:][:4]
			inkPixel(d, s[0], s[1], s[2], s[3])
		}
	}
}

func inkPixel(dst []byte, cyan, magenta, yellow, black byte) {
	light := 255 - int(black)
	for c, ink := range [3]byte{cyan, magenta, yellow} {
		v := int(ink)*light + 128
		dst[c] = clampByte(light - (v>>8+v)>>8)
	}
	dst[3] = 255
}

func fromPalette(out *image.NRGBA, m *image.Paletted) {
	var table [256][4]byte
	for i := range table {
		table[i][3] = 255
		if i < len(m.Palette) {
			c := stored(m.Palette[i])
			table[i] = [4]byte{c.R, c.G, c.B, 255}
		}
	}
	w, h := out.Rect.Dx(), out.Rect.Dy()
	for y := range h {
		for x, v := range m.Pix[y*m.Stride : y*m.Stride+w] {
			copy(out.Pix[y*out.Stride+4*x:], table[v][:])
		}
	}
}

// stored is a colour without premultiplication; where a decoder kept the
// colour under full transparency (NRGBA), it is kept.
func stored(c color.Color) color.NRGBA {
	if n, ok := c.(color.NRGBA); ok {
		return n
	}
	return color.NRGBAModel.Convert(c).(color.NRGBA)
}

func fromAny(out *image.NRGBA, img image.Image) {
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := stored(img.At(x, y))
			c.A = 255
			out.SetNRGBA(x-b.Min.X, y-b.Min.Y, c)
		}
	}
}

// Opaque copies an image into NRGBA as Decode would: alpha dropped, origin at
// (0, 0). It is for pictures that were made, not read.
func Opaque(img image.Image) *image.NRGBA { return opaque(img, "") }
