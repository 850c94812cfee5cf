package imageproc

// Multipliers of the Loeffler-Ligtenberg-Moschytz transform in 13 fractional
// bits; libjpeg's "islow" method rounds them so, and equality needs the same.
const (
	dctBits  = 13
	keepBits = 2 // more precision between the two passes

	dct0298 = 2446
	dct0390 = 3196
	dct0541 = 4433
	dct0765 = 6270
	dct0899 = 7373
	dct1175 = 9633
	dct1501 = 12299
	dct1847 = 15137
	dct1961 = 16069
	dct2053 = 16819
	dct2562 = 20995
	dct3072 = 25172
)

// inverseDCT dequantizes a block in natural order and writes its 8×8 samples.
func inverseDCT(dst []byte, stride int, coef *[64]int16, quant *[64]uint16) {
	var work [64]int32
	for i, c := range coef {
		work[i] = int32(c) * int32(quant[i])
	}
	for x := range 8 {
		dct8(work[x:], 8, dctBits-keepBits)
	}
	for y := range 8 {
		row := work[8*y : 8*y+8]
		dct8(row, 1, dctBits+keepBits+3)
		out := dst[y*stride : y*stride+8]
		for x, v := range row {
			out[x] = clampByte(int(v) + 128)
		}
	}
}

// dct8 transforms eight values that lie step apart in place and rounds the
// results by shift bits.
func dct8(v []int32, step int, shift uint) {
	e0, e1, e2, e3 := evenPart(v[0], v[2*step], v[4*step], v[6*step])
	o0, o1, o2, o3 := oddPart(v[step], v[3*step], v[5*step], v[7*step])
	half := int32(1) << (shift - 1)
	v[0], v[7*step] = (e0+o0+half)>>shift, (e0-o0+half)>>shift
	v[step], v[6*step] = (e1+o1+half)>>shift, (e1-o1+half)>>shift
	v[2*step], v[5*step] = (e2+o2+half)>>shift, (e2-o2+half)>>shift
	v[3*step], v[4*step] = (e3+o3+half)>>shift, (e3-o3+half)>>shift
}

// evenPart is the four-point transform of the even frequencies.
func evenPart(c0, c2, c4, c6 int32) (e0, e1, e2, e3 int32) {
	turn := (c2 + c6) * dct0541
	outer, inner := turn+c2*dct0765, turn-c6*dct1847
	sum, diff := (c0+c4)<<dctBits, (c0-c4)<<dctBits
	return sum + outer, diff + inner, diff - inner, sum - outer
}

// oddPart is what the odd frequencies add to the first four samples and take
// from the last four.
func oddPart(c1, c3, c5, c7 int32) (o0, o1, o2, o3 int32) {
	all := (c7 + c3 + c5 + c1) * dct1175
	a, b := all-(c7+c3)*dct1961, all-(c5+c1)*dct0390
	p, q := -(c7+c1)*dct0899, -(c5+c3)*dct2562
	return c1*dct1501 + p + b, c3*dct3072 + q + a, c5*dct2053 + q + b, c7*dct0298 + p + a
}
