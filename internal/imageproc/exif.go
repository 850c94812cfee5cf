package imageproc

import (
	"encoding/binary"
	"image"

	"github.com/disintegration/imaging"
)

// orientationTag is the EXIF entry that says how a camera was held.
const orientationTag = 0x0112

// exifOrientation returns 1 to 8 from the EXIF segment of a JPEG file, or 1
// where there is none or it is damaged: orientation is a courtesy, and a file
// whose picture decodes is not refused for its metadata.
func exifOrientation(data []byte) int {
	for pos := 2; pos+4 <= len(data) && data[pos] == 0xFF; {
		marker, size := data[pos+1], int(binary.BigEndian.Uint16(data[pos+2:]))
		if marker == 0xDA || size < 2 || pos+2+size > len(data) { // start of scan: no metadata follows
			break
		}
		segment := data[pos+4 : pos+2+size]
		if marker == 0xE1 && matches(segment, "Exif\x00\x00") {
			return tiffOrientation(segment[6:])
		}
		pos += 2 + size
	}
	return 1
}

// tiffOrientation finds the tag in the first directory of a TIFF header.
func tiffOrientation(t []byte) int {
	if len(t) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if t[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return 1
	}
	entries := int64(order.Uint16(t[at:]))
	for i := range entries {
		e := at + 2 + 12*i
		if e+12 > int64(len(t)) {
			return 1
		}
		if order.Uint16(t[e:]) == orientationTag {
			if v := int(order.Uint16(t[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// orient undoes an EXIF orientation.
func orient(img *image.NRGBA, orientation int) *image.NRGBA {
	switch orientation {
	case 2:
		return imaging.FlipH(img)
	case 3:
		return imaging.Rotate180(img)
	case 4:
		return imaging.FlipV(img)
	case 5:
		return imaging.Transpose(img)
	case 6:
		return imaging.Rotate270(img)
	case 7:
		return imaging.Transverse(img)
	case 8:
		return imaging.Rotate90(img)
	}
	return img
}
