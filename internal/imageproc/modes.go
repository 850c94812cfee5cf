package imageproc

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
)

// DecodeModes is Decode without the conversion to RGB: the picture keeps the mode that Pillow opens the file in, because
// rewards such as ImageReward resize first and convert afterwards (see Torchvision). It is an
//
//   - *image.Paletted for Pillow's modes P and 1,
//   - *image.Gray16 for I;16,
//   - *image.CMYK for CMYK,
//   - *image.NRGBA for RGBA and LA, and with alpha 255 for RGB and L.
//
// Opaque and PillowRGB turn each of them into RGB. Limits, errors and EXIF orientation are as of Decode.
func DecodeModes(name string, data []byte, limits Limits) (image.Image, error) {
	img, f, err := decode(name, data, limits)
	if err != nil {
		return nil, err
	}
	switch f.name {
	case "PNG":
		return modePNG(img, data), nil
	case "WebP":
		return withAlpha(img, f.name), nil
	case "TIFF":
		return modeTIFF(img, data), nil
	case "GIF", "BMP":
		if m, ok := img.(*image.Paletted); ok && !isGreyRamp(m.Palette) {
			return m, nil
		}
	case "JPEG":
		return img, nil
	}
	return opaque(img, f.name), nil
}

// modePNG goes by the header, as Go's decoder gives NRGBA also for files whose one transparent colour Pillow only notes.
func modePNG(img image.Image, data []byte) image.Image {
	switch depth, kind := headerPNG(data); {
	case kind == pngGrey && depth == 1:
		return bilevel(img)
	case kind == pngGrey && depth == 16, kind == pngIndexed:
		return img
	case kind == pngGreyAlpha || kind == pngColourAlpha:
		return withAlpha(img, "PNG")
	}
	return opaque(img, "PNG")
}

// Colour types of PNG files.
const pngGrey, pngIndexed, pngGreyAlpha, pngColourAlpha = 0, 3, 4, 6

func headerPNG(data []byte) (depth, kind byte) { return data[24], data[25] }

// decodePNG takes back what Go's decoder makes of 16-bit grey with one transparent value.
func decodePNG(data []byte) (image.Image, error) {
	img, err := png.Decode(bytes.NewReader(data))
	m, ok := img.(*image.NRGBA64)
	if err != nil || !ok {
		return img, err
	}
	if _, kind := headerPNG(data); kind != pngGrey {
		return img, nil
	}
	out := image.NewGray16(m.Rect)
	for i := 0; i < len(out.Pix); i += 2 {
		copy(out.Pix[i:i+2], m.Pix[4*i:]) // red is grey
	}
	return out, nil
}

func modeTIFF(img image.Image, data []byte) image.Image {
	switch m := img.(type) {
	case *image.Paletted, *image.Gray16, *image.CMYK:
		return img
	case *image.Gray:
		if bitsTIFF(data) == 1 {
			return bilevel(m)
		}
	}
	return withAlpha(img, "TIFF")
}

// bitsTIFF is the tag BitsPerSample of the first picture of a grey file.
func bitsTIFF(data []byte) int {
	const first, entry, tagBits = 4, 12, 258
	var order binary.ByteOrder = binary.LittleEndian
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(data[first:]))
	if at+2 > int64(len(data)) {
		return 0
	}
	list := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(list) < entry {
			return 0
		}
		if order.Uint16(list) == tagBits {
			return int(order.Uint16(list[8:]))
		}
		list = list[entry:]
	}
	return 1 // where the tag is missing
}

// bilevel gives mode 1, whose pictures are resized like palettes.
func bilevel(img image.Image) *image.Paletted {
	grey := opaque(img, "")
	out := image.NewPaletted(grey.Rect, color.Palette{color.NRGBA{A: 255}, color.NRGBA{255, 255, 255, 255}})
	for i := range out.Pix {
		out.Pix[i] = grey.Pix[4*i] >> 7
	}
	return out
}

// withAlpha is opaque with the alpha that the file has.
func withAlpha(img image.Image, format string) *image.NRGBA {
	out := opaque(img, format)
	var alpha []byte
	stride, size, at := 0, 4, 3
	switch m := img.(type) {
	case *image.NRGBA:
		alpha, stride = m.Pix, m.Stride
	case *image.RGBA:
		alpha, stride = m.Pix, m.Stride
	case *image.NRGBA64: // the high byte comes first
		alpha, stride, size, at = m.Pix, m.Stride, 8, 6
	case *image.RGBA64:
		alpha, stride, size, at = m.Pix, m.Stride, 8, 6
	case *image.NYCbCrA:
		alpha, stride, size, at = m.A, m.AStride, 1, 0
	default:
		return out
	}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Pix[y*out.Stride+4*x+3] = alpha[y*stride+size*x+at]
		}
	}
	return out
}

// isGreyRamp says that entry i is the grey i: Pillow opens such files as grey, not with a palette. Two entries must be
// black and white, and stay a palette (mode 1 is resized alike).
func isGreyRamp(p color.Palette) bool {
	for i := range p {
		if c := stored(p[i]); int(c.R) != i || c.G != c.R || c.B != c.R {
			return false
		}
	}
	return len(p) > 2
}
