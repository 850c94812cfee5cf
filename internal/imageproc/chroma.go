package imageproc

import "image"

// fromJFIF converts full-range Y'CbCr with libjpeg's arithmetic: chroma
// halved in one or both directions goes through its triangle filters
// (jdsample.c, "fancy upsampling"), and the colour conversion rounds to nearest
// (jdcolor.c). Other ratios, and chroma at most two samples wide, take the
// nearest sample, as libjpeg does.
func fromJFIF(out *image.NRGBA, m *image.YCbCr) {
	w, h := out.Rect.Dx(), out.Rect.Dy()
	cb, cr := make([]byte, w), make([]byte, w)
	sums := make([]int, (w+1)/2)
	for y := range h {
		chromaRow(cb, m.Cb, m, y, h, sums)
		chromaRow(cr, m.Cr, m, y, h, sums)
		luma, row := m.Y[y*m.YStride:], out.Pix[y*out.Stride:]
		for x := range w {
			jfifPixel(row[4*x:4*x+4], int(luma[x]), int(cb[x])-128, int(cr[x])-128)
		}
	}
}

// chromaRow fills dst with one full-width row of a chroma plane.
func chromaRow(dst, plane []byte, m *image.YCbCr, y, h int, sums []int) {
	half := len(sums)
	near, other := halfRows(y, (h+1)/2)
	switch ratio := m.SubsampleRatio; {
	case ratio == image.YCbCrSubsampleRatio420 && half > 2:
		upsampleH2V2(dst, plane[near*m.CStride:], plane[other*m.CStride:], sums)
	case ratio == image.YCbCrSubsampleRatio422 && half > 2:
		upsampleH2V1(dst, plane[y*m.CStride:][:half])
	case ratio == image.YCbCrSubsampleRatio440:
		upsampleH1V2(dst, plane[near*m.CStride:], plane[other*m.CStride:], 1+y%2)
	default:
		for x := range dst {
			dst[x] = plane[m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)]
		}
	}
}

// upsampleH1V2 blends two rows; bias is 1 on upper and 2 on lower rows.
func upsampleH1V2(dst, near, other []byte, bias int) {
	for x := range dst {
		dst[x] = byte((3*int(near[x]) + int(other[x]) + bias) >> 2)
	}
}

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
