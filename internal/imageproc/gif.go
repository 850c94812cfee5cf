package imageproc

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/gif"
)

// decodeGIF returns the first frame on its canvas as Pillow does: pixels keep
// the palette colour even where they are marked transparent, and canvas outside
// the frame has the colour of the transparent entry, or of entry 0.
func decodeGIF(data []byte) (image.Image, error) {
	data = bytes.Clone(data)
	fill, err := dropTransparency(data)
	if err != nil {
		return nil, err
	}
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	img, err := gif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	frame, ok := img.(*image.Paletted)
	if !ok {
		return nil, errors.New("frame without a palette")
	}
	canvas := image.NewPaletted(image.Rect(0, 0, config.Width, config.Height), frame.Palette)
	if int(fill) >= len(frame.Palette) {
		canvas.Palette = padPalette(frame.Palette)
	}
	for i := range canvas.Pix {
		canvas.Pix[i] = fill
	}
	part := frame.Rect.Intersect(canvas.Rect)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(part.Min.X, y):], frame.Pix[frame.PixOffset(part.Min.X, y):frame.PixOffset(part.Max.X-1, y)+1])
	}
	return canvas, nil
}

// padPalette extends a palette to 256 entries with black.
func padPalette(p color.Palette) color.Palette {
	out := append(color.Palette{}, p...)
	for len(out) < 256 {
		out = append(out, color.RGBA{A: 255})
	}
	return out
}

var errGIFCut = errors.New("ends before its first frame")

// dropTransparency clears the transparency flag of the first frame in place, so
// that the decoder leaves its palette alone, and returns the entry it named.
func dropTransparency(data []byte) (fill byte, err error) {
	const header, packedAt = 13, 10
	if len(data) < header {
		return 0, errGIFCut
	}
	pos := header + tableSize(data[packedAt])
	for pos+1 < len(data) {
		switch data[pos] {
		case 0x2C: // image descriptor: the first frame
			return fill, nil
		case 0x21: // extension; 0xF9 is the graphic control one
			if data[pos+1] == 0xF9 && pos+7 < len(data) && data[pos+2] == 4 {
				fill = 0
				if data[pos+3]&1 != 0 {
					fill = data[pos+6]
				}
				data[pos+3] &^= 1
			}
			pos = skipBlocks(data, pos+2)
		default:
			return 0, errGIFCut
		}
	}
	return 0, errGIFCut
}

// tableSize is the length in bytes of a colour table announced by packed flags.
func tableSize(packed byte) int {
	if packed&0x80 == 0 {
		return 0
	}
	return 3 << (packed&7 + 1)
}

// skipBlocks passes length-prefixed blocks up to the empty one.
func skipBlocks(data []byte, pos int) int {
	for pos < len(data) && data[pos] != 0 {
		pos += 1 + int(data[pos])
	}
	return pos + 1
}
