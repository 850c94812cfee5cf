package imageproc

import (
	"errors"
	"fmt"
	"image"
)

// frame reads the frame header and takes memory for the planes.
func (d *jpegDecoder) frame(mark byte, body []byte, header bool) error {
	if d.width > 0 {
		return errors.New("two frame headers")
	}
	if len(body) < 6 || len(body) < 6+3*int(body[5]) {
		return errJPEGCut
	}
	if body[0] != 8 {
		return fmt.Errorf("%d bits a sample; only 8 are supported", body[0])
	}
	n := int(body[5])
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("%d components; 1, 3 and 4 are supported", n)
	}
	d.height, d.width = int(body[1])<<8|int(body[2]), int(body[3])<<8|int(body[4])
	if d.width == 0 || d.height == 0 {
		return fmt.Errorf("its size is %d×%d", d.width, d.height)
	}
	d.progressive = mark == markSOF2
	for i := range n {
		c := &component{id: body[6+3*i], h: int(body[7+3*i] >> 4), v: int(body[7+3*i] & 15), table: int(body[8+3*i])}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.table > 3 {
			return fmt.Errorf("component %d: sampling %d×%d, table %d", c.id, c.h, c.v, c.table)
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
		d.components = append(d.components, c)
	}
	d.mcux, d.mcuy = ceilDiv(d.width, 8*d.hmax), ceilDiv(d.height, 8*d.vmax)
	for _, c := range d.components {
		if d.hmax%c.h != 0 || d.vmax%c.v != 0 {
			return fmt.Errorf("component %d: sampling %d×%d is no whole part of %d×%d", c.id, c.h, c.v, d.hmax, d.vmax)
		}
		if !header {
			d.allocate(c)
		}
	}
	return nil
}

func (d *jpegDecoder) allocate(c *component) {
	c.wide, c.high = d.mcux*c.h, d.mcuy*c.v
	c.plane = plane{
		pix: make([]byte, 64*c.wide*c.high), stride: 8 * c.wide,
		w: ceilDiv(d.width*c.h, d.hmax), h: ceilDiv(d.height*c.v, d.vmax),
		across: d.hmax / c.h, down: d.vmax / c.v,
	}
	if d.progressive {
		c.coef = make([][64]int16, c.wide*c.high)
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// transform makes the plane of a progressive component.
func (c *component) transform() {
	for i := range c.coef {
		inverseDCT(c.plane.pix[8*(i/c.wide*c.plane.stride+i%c.wide):], c.plane.stride, &c.coef[i], c.quant)
	}
	c.coef = nil
}

// picture converts the planes to RGB, or to *image.CMYK, by the rules of libjpeg
// and Pillow for what the components mean.
func (d *jpegDecoder) picture() image.Image {
	out := image.NewNRGBA(image.Rect(0, 0, d.width, d.height))
	rows := make([][]byte, len(d.components))
	for i := range rows {
		rows[i] = make([]byte, d.width)
	}
	sums, convert := make([]int, d.width), d.converter()
	for y := range d.height {
		for i, c := range d.components {
			c.plane.row(rows[i], y, sums)
		}
		line := out.Pix[y*out.Stride:]
		for x := range d.width {
			convert(line[4*x:4*x+4], rows, x)
		}
	}
	if len(d.components) == 4 {
		return &image.CMYK{Pix: out.Pix, Stride: out.Stride, Rect: out.Rect}
	}
	return out
}

// converter is the conversion of one pixel. Four components are ink, stored
// inverted as Adobe does, which Pillow takes for granted.
func (d *jpegDecoder) converter() func(dst []byte, rows [][]byte, x int) {
	switch {
	case len(d.components) == 1:
		return func(dst []byte, rows [][]byte, x int) {
			v := rows[0][x]
			dst[0], dst[1], dst[2], dst[3] = v, v, v, 255
		}
	case len(d.components) == 4 && d.adobe == 2: // YCCK
		return func(dst []byte, rows [][]byte, x int) {
			jfifPixel(dst, int(rows[0][x]), int(rows[1][x])-128, int(rows[2][x])-128)
			dst[3] = 255 - rows[3][x]
		}
	case len(d.components) == 4:
		return func(dst []byte, rows [][]byte, x int) {
			dst[0], dst[1], dst[2], dst[3] = 255-rows[0][x], 255-rows[1][x], 255-rows[2][x], 255-rows[3][x]
		}
	case d.isRGB():
		return func(dst []byte, rows [][]byte, x int) {
			dst[0], dst[1], dst[2], dst[3] = rows[0][x], rows[1][x], rows[2][x], 255
		}
	}
	return func(dst []byte, rows [][]byte, x int) {
		jfifPixel(dst, int(rows[0][x]), int(rows[1][x])-128, int(rows[2][x])-128)
	}
}

// isRGB says whether three components are colours: a JFIF header says no, an
// Adobe segment says which, and else the components' names decide.
func (d *jpegDecoder) isRGB() bool {
	c := d.components
	switch {
	case d.jfif:
		return false
	case d.adobe >= 0:
		return d.adobe == 0
	}
	return c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
}
