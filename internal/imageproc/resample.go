package imageproc

import "image"

// fixed are taps with whole-number weights in units of 2^-bits.
type fixed struct {
	first   int
	weights []int32
}

// pillowBits leaves two bits of a 32-bit sum for overshoot beyond eight bits of
// value.
const pillowBits = 32 - 8 - 2

// quantized rounds weights to multiples of 2^-bits, halves away from zero.
func quantized(list []taps, bits int) []fixed {
	out := make([]fixed, len(list))
	for i, t := range list {
		w := make([]int32, len(t.weights))
		for j, v := range t.weights {
			v *= float64(int(1) << bits) // exact: a power of two
			if v < 0 {
				w[j] = int32(v - 0.5)
			} else {
				w[j] = int32(v + 0.5)
			}
		}
		out[i] = fixed{t.first, w}
	}
	return out
}

// Resize is Pillow's Image.resize for 8-bit RGB, equal bit for bit to Pillow 13:
// weights of 22 fractional bits, two passes, each rounded and clamped to bytes.
// Both sides must be positive. All four channels are resampled alike; alpha does
// not weigh the colours.
func Resize(img *image.NRGBA, w, h int, f Filter) *image.NRGBA {
	k, ok := kernels[f]
	if !ok {
		return nearest(img, w, h)
	}
	across := func(m *image.NRGBA) *image.NRGBA {
		return resampleRows(m, quantized(k.antialiased(m.Rect.Dx(), w), pillowBits), pillowBits)
	}
	down := func(m *image.NRGBA) *image.NRGBA {
		return resampleColumns(m, quantized(k.antialiased(m.Rect.Dy(), h), pillowBits), pillowBits)
	}
	passes := []func(*image.NRGBA) *image.NRGBA{across, down}
	if rowsFirst(img.Rect.Dx(), img.Rect.Dy(), w, h) {
		passes = []func(*image.NRGBA) *image.NRGBA{down, across}
	}
	for _, pass := range passes {
		img = pass(img)
	}
	return img
}

// rowsFirst says whether Pillow 13 takes the vertical pass first: when the
// height shrinks by more than twice what the width loses. The rule was found by
// experiment; it shows since each pass rounds to bytes.
func rowsFirst(w, h, toW, toH int) bool { return h > toH && h-toH > 2*(w-toW) }

// resampleRows makes the width len(list); it copies where nothing changes.
func resampleRows(img *image.NRGBA, list []fixed, bits int) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if len(list) == w {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, len(list), h))
	for y := range h {
		src, dst := img.Pix[y*img.Stride:][:4*w], out.Pix[y*out.Stride:]
		for x, t := range list {
			mix(dst[4*x:4*x+4], src[4*t.first:], 4, t.weights, bits)
		}
	}
	return out
}

// resampleColumns makes the height len(list).
func resampleColumns(img *image.NRGBA, list []fixed, bits int) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if len(list) == h {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, len(list)))
	for y, t := range list {
		dst := out.Pix[y*out.Stride:]
		for x := range w {
			mix(dst[4*x:4*x+4], img.Pix[t.first*img.Stride+4*x:], img.Stride, t.weights, bits)
		}
	}
	return out
}

// mix sets one pixel to the weighted sum of pixels that lie step bytes apart.
func mix(dst, src []byte, step int, weights []int32, bits int) {
	half := int32(1) << (bits - 1)
	r, g, b, a := half, half, half, half
	at := 0
	for _, w := range weights {
		p := src[at : at+4 : at+4]
		r += int32(p[0]) * w
		g += int32(p[1]) * w
		b += int32(p[2]) * w
		a += int32(p[3]) * w
		at += step
	}
	dst[0], dst[1] = clampByte(int(r>>bits)), clampByte(int(g>>bits))
	dst[2], dst[3] = clampByte(int(b>>bits)), clampByte(int(a>>bits))
}

// nearest takes the pixel under the centre; like Pillow it adds up steps instead
// of multiplying, which decides where a centre falls on a border.
func nearest(img *image.NRGBA, w, h int) *image.NRGBA {
	columns, rows := centres(img.Rect.Dx(), w), centres(img.Rect.Dy(), h)
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y, sy := range rows {
		src, dst := img.Pix[sy*img.Stride:], out.Pix[y*out.Stride:]
		for x, sx := range columns {
			copy(dst[4*x:4*x+4], src[4*sx:])
		}
	}
	return out
}

func centres(in, out int) []int {
	step := float64(in) / float64(out)
	list, at := make([]int, out), step*0.5
	for i := range list {
		list[i] = min(int(at), in-1)
		at += step
	}
	return list
}
