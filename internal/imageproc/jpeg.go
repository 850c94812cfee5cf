package imageproc

import (
	"errors"
	"fmt"
	"image"
	"io"
)

// The decoder below gives, bit for bit, what libjpeg-turbo gives with its
// default settings, which is what Pillow shows: exact integer inverse transform,
// triangle filters for chroma, rounded colour conversion. The standard library's
// decoder rounds differently in all three.

// Markers of the file format (ITU-T T.81, table B.1).
const (
	markSOF0, markSOF1, markSOF2 = 0xC0, 0xC1, 0xC2
	markSOF15                    = 0xCF
	markDHT, markJPG, markDAC    = 0xC4, 0xC8, 0xCC
	markRST0, markRST7           = 0xD0, 0xD7
	markSOI, markEOI, markSOS    = 0xD8, 0xD9, 0xDA
	markDQT, markDRI             = 0xDB, 0xDD
	markAPP0, markAPP14          = 0xE0, 0xEE
	markTEM                      = 0x01
)

// maxScans bounds the work that a small hostile file can ask for.
const maxScans = 500

var errJPEGCut = errors.New("ends too early")

// jpegDecoder reads one file.
type jpegDecoder struct {
	data          []byte
	pos           int
	width, height int
	progressive   bool
	components    []*component
	hmax, vmax    int
	mcux, mcuy    int
	quant         [4]*[64]uint16 // in natural order
	dc, ac        [4]*huffman
	restart       int // MCUs between restart markers; 0: none
	jfif          bool
	adobe         int // colour transform of the Adobe segment; -1: no segment
	scans         int
}

// component is one colour plane of the file.
type component struct {
	id         byte
	h, v       int // sampling factors
	table      int // of quantization
	quant      *[64]uint16
	wide, high int // blocks stored, whole MCUs
	plane      plane
	coef       [][64]int16 // progressive files only
	seen       bool        // a scan held it
}

// decodeJPEG decodes a whole file into opaque RGB (*image.NRGBA), or into inks
// (*image.CMYK).
func decodeJPEG(data []byte) (image.Image, error) {
	d := &jpegDecoder{data: data, adobe: -1}
	if err := d.parse(false); err != nil {
		return nil, err
	}
	for _, c := range d.components {
		if !c.seen {
			return nil, fmt.Errorf("component %d has no data", c.id)
		}
		if d.progressive {
			c.transform()
		}
	}
	return d.picture(), nil
}

// configJPEG reads up to the frame header.
func configJPEG(r io.Reader) (image.Config, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return image.Config{}, err
	}
	d := &jpegDecoder{data: data, adobe: -1}
	err = d.parse(true)
	return image.Config{Width: d.width, Height: d.height}, err
}

// parse follows the markers to the end of the picture, or of its frame header.
func (d *jpegDecoder) parse(header bool) error {
	for {
		mark, err := d.marker()
		switch {
		case err != nil:
			return err
		case mark == markEOI:
			if d.components == nil {
				return errors.New("no frame header")
			}
			return nil
		case mark == markSOI || mark == markTEM || mark >= markRST0 && mark <= markRST7:
			continue
		}
		body, err := d.segment()
		if err != nil {
			return err
		}
		if err := d.handle(mark, body, header); err != nil {
			return err
		}
		if header && d.width > 0 || d.complete() {
			return nil
		}
	}
}

// complete says that a sequential file has shown all components; what follows
// does not matter, and not even an end marker is asked for.
func (d *jpegDecoder) complete() bool {
	if d.progressive || d.components == nil {
		return false
	}
	for _, c := range d.components {
		if !c.seen {
			return false
		}
	}
	return true
}

// marker finds the next marker; other bytes before it are skipped, as libjpeg does.
func (d *jpegDecoder) marker() (byte, error) {
	for d.pos+1 < len(d.data) {
		mark := d.data[d.pos+1]
		if d.data[d.pos] == 0xFF && mark != 0 && mark != 0xFF {
			d.pos += 2
			return mark, nil
		}
		d.pos++
	}
	return 0, errJPEGCut
}

// segment returns the bytes after the length field.
func (d *jpegDecoder) segment() ([]byte, error) {
	rest := d.data[d.pos:]
	if len(rest) < 2 {
		return nil, errJPEGCut
	}
	size := int(rest[0])<<8 | int(rest[1])
	if size < 2 || size > len(rest) {
		return nil, errJPEGCut
	}
	d.pos += size
	return rest[2:size], nil
}

func (d *jpegDecoder) handle(mark byte, body []byte, header bool) error {
	switch {
	case mark == markDHT:
		return d.huffmanTables(body)
	case mark == markDQT:
		return d.quantTables(body)
	case mark >= markSOF0 && mark <= markSOF2:
		return d.frame(mark, body, header)
	case mark > markSOF2 && mark <= markSOF15 && mark != markJPG && mark != markDAC:
		return fmt.Errorf("coding process %d (lossless, hierarchical or arithmetic) is not supported", mark-markSOF0)
	case mark == markDRI:
		if len(body) < 2 {
			return errJPEGCut
		}
		d.restart = int(body[0])<<8 | int(body[1])
	case mark == markSOS:
		return d.scan(body)
	case mark == markAPP0:
		d.jfif = d.jfif || matches(body, "JFIF\x00")
	case mark == markAPP14:
		if matches(body, "Adobe") && len(body) >= 12 {
			d.adobe = int(body[11])
		}
	}
	return nil
}

// quantTables stores tables in natural order.
func (d *jpegDecoder) quantTables(body []byte) error {
	for len(body) > 0 {
		wide, id := int(body[0]>>4), body[0]&15
		if wide > 1 || id > 3 {
			return fmt.Errorf("quantization table %d of precision %d", id, wide)
		}
		size := 64 * (1 + wide)
		if len(body) < 1+size {
			return errJPEGCut
		}
		table := new([64]uint16)
		for i, at := range zigzag {
			v := uint16(body[1+i*(1+wide)])
			if wide == 1 {
				v = v<<8 | uint16(body[2+2*i])
			}
			table[at] = v
		}
		d.quant[id] = table
		body = body[1+size:]
	}
	return nil
}
