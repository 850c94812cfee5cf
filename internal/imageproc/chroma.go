package imageproc

import "image"

// plane is one colour component, of which a sample may cover several pixels.
type plane struct {
	pix          []byte
	stride       int
	w, h         int // samples that belong to the picture
	across, down int // pixels per sample
}

// row fills dst with one row of pixels as libjpeg does (jdsample.c, "fancy
// upsampling"): components halved in one or both directions go through its
// triangle filters; other ratios, and halved rows of at most two samples, take
// the nearest sample. sums is scratch of at least w values.
func (p plane) row(dst []byte, y int, sums []int) {
	line := func(i int) []byte { return p.pix[i*p.stride:][:p.w] }
	near, other := halfRows(y, p.h)
	switch {
	case p.across == 1 && p.down == 1:
		copy(dst, line(y))
	case p.across == 2 && p.down == 2 && p.w > 2:
		upsampleH2V2(dst, line(near), line(other), sums[:p.w])
	case p.across == 2 && p.down == 1 && p.w > 2:
		upsampleH2V1(dst, line(y))
	case p.across == 1 && p.down == 2:
		upsampleH1V2(dst, line(near), line(other), 1+y%2)
	default:
		src := line(y / p.down)
		for x := range dst {
			dst[x] = src[x/p.across]
		}
	}
}

// ratios are pixels per chroma sample.
var ratios = map[image.YCbCrSubsampleRatio][2]int{
	image.YCbCrSubsampleRatio444: {1, 1}, image.YCbCrSubsampleRatio422: {2, 1}, image.YCbCrSubsampleRatio420: {2, 2},
	image.YCbCrSubsampleRatio440: {1, 2}, image.YCbCrSubsampleRatio411: {4, 1}, image.YCbCrSubsampleRatio410: {4, 2},
}

// fromJFIF converts a picture that a caller decoded with the standard library:
// full-range Y'CbCr with libjpeg's chroma filters and colour arithmetic.
func fromJFIF(out *image.NRGBA, m *image.YCbCr) {
	w, h := out.Rect.Dx(), out.Rect.Dy()
	ratio := ratios[m.SubsampleRatio]
	at := m.COffset(m.Rect.Min.X, m.Rect.Min.Y)
	chroma := plane{m.Cb[at:], m.CStride, ceilDiv(w, ratio[0]), ceilDiv(h, ratio[1]), ratio[0], ratio[1]}
	second := chroma
	second.pix = m.Cr[at:]
	cb, cr, sums := make([]byte, w), make([]byte, w), make([]int, w)
	for y := range h {
		chroma.row(cb, y, sums)
		second.row(cr, y, sums)
		luma, row := m.Y[m.YOffset(m.Rect.Min.X, m.Rect.Min.Y+y):], out.Pix[y*out.Stride:]
		for x := range w {
			jfifPixel(row[4*x:4*x+4], int(luma[x]), int(cb[x])-128, int(cr[x])-128)
		}
	}
}

// startsOnSample says whether the picture's corner is a chroma sample's corner;
// a cut-out of a larger picture may begin inside one.
func startsOnSample(m *image.YCbCr) bool {
	r, ok := ratios[m.SubsampleRatio]
	return ok && m.Rect.Min.X%r[0] == 0 && m.Rect.Min.Y%r[1] == 0
}

// upsampleH1V2 blends two rows; bias is 1 on upper and 2 on lower rows.
func upsampleH1V2(dst, near, other []byte, bias int) {
	for x := range dst {
		dst[x] = byte((3*int(near[x]) + int(other[x]) + bias) >> 2)
	}
}

// jfifPixel rounds to nearest (jdcolor.c); cb and cr are centred on 0.
func jfifPixel(dst []byte, y, cb, cr int) {
	const half = 1 << 15
	dst[0] = clampByte(y + (91881*cr+half)>>16)
	dst[1] = clampByte(y + (-22554*cb-46802*cr+half)>>16)
	dst[2] = clampByte(y + (116130*cb+half)>>16)
	dst[3] = 255
}

func clampByte(v int) byte { return byte(min(max(v, 0), 255)) }

// halfRows is the chroma row that covers luma row y, and the row beyond it on
// the nearer side, which repeats at the border.
func halfRows(y, rows int) (near, other int) {
	near = y / 2
	other = near - 1
	if y%2 == 1 {
		other = near + 1
	}
	return near, min(max(other, 0), rows-1)
}

// upsampleH2V1 doubles a row: three quarters of the nearer sample and one of
// the farther, the two roundings alternating so that no bias remains.
func upsampleH2V1(dst, src []byte) {
	last := len(src) - 1
	for i, s := range src {
		v := 3 * int(s)
		left, right := (v+int(src[max(i-1, 0)])+1)>>2, (v+int(src[min(i+1, last)])+2)>>2
		store(dst, 2*i, left)
		store(dst, 2*i+1, right)
	}
}

// upsampleH2V2 is the same in both directions, with 16ths as weights.
func upsampleH2V2(dst, near, other []byte, sums []int) {
	for i := range sums {
		sums[i] = 3*int(near[i]) + int(other[i])
	}
	last := len(sums) - 1
	for i, s := range sums {
		store(dst, 2*i, (3*s+sums[max(i-1, 0)]+8)>>4)
		store(dst, 2*i+1, (3*s+sums[min(i+1, last)]+7)>>4)
	}
}

// store drops the sample beyond an odd width.
func store(dst []byte, i, v int) {
	if i < len(dst) {
		dst[i] = byte(v)
	}
}

// fromVP8 converts the studio-range Y'CbCr of lossy WebP with libwebp's
// arithmetic (src/dsp/upsampling.c and yuv.h).
func fromVP8(out *image.NRGBA, m *image.YCbCr) {
	w, h := out.Rect.Dx(), out.Rect.Dy()
	cw, ch := (w+1)/2, (h+1)/2
	for y := range h {
		near, other := halfRows(y, ch)
		cb, cbFar := m.Cb[near*m.CStride:][:cw], m.Cb[other*m.CStride:][:cw]
		cr, crFar := m.Cr[near*m.CStride:][:cw], m.Cr[other*m.CStride:][:cw]
		luma, row := m.Y[y*m.YStride:], out.Pix[y*out.Stride:]
		for x := range w {
			vp8Pixel(row[4*x:4*x+4], int(luma[x]), vp8Chroma(cb, cbFar, x), vp8Chroma(cr, crFar, x))
		}
	}
}

// vp8Chroma blends the four samples around pixel x with weights 9, 3, 3, 1 in
// libwebp's two rounding steps; at the left and right border it blends the two
// samples above each other.
func vp8Chroma(near, far []byte, x int) int {
	i := x / 2
	j := i - 1
	if x%2 == 1 {
		j = i + 1
	}
	if j < 0 || j >= len(near) {
		return (3*int(near[i]) + int(far[i]) + 2) >> 2
	}
	a, b, c, d := int(near[i]), int(near[j]), int(far[i]), int(far[j])
	diagonal := (a + b + c + d + 8 + 2*(b+c)) >> 3
	return (diagonal + a) >> 1
}

func vp8Pixel(dst []byte, y, u, v int) {
	l := y * 19077 >> 8
	dst[0] = clampByte((l + v*26149>>8 - 14234) >> 6)
	dst[1] = clampByte((l - u*6419>>8 - v*13320>>8 + 8708) >> 6)
	dst[2] = clampByte((l + u*33050>>8 - 17685) >> 6)
	dst[3] = 255
}
