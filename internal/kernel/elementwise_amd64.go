//go:build amd64 && !noasm

package kernel

type (
	unaryLoop  = func(dst, src *float32, n int)
	binaryLoop = func(dst, a, b *float32, n int)
	scalarLoop = func(dst, a *float32, s float32, n int)
)

// The tables are indexed by level-1 and operation.
var unaryLoops = [2][opLog]unaryLoop{
	{
		opExp: expAVX2, opSigmoid: sigmoidAVX2, opTanh: tanhAVX2, opErf: erfAVX2, opSilu: siluAVX2, opGelu: geluAVX2,
		opGeluTanh: geluTanhAVX2, opQuickGelu: quickGeluAVX2, opSiluSlope: siluSlopeAVX2, opGeluSlope: geluSlopeAVX2, opSqrt: sqrtAVX2, opRsqrt: rsqrtAVX2,
		opReciprocal: reciprocalAVX2, opRelu: reluAVX2, opNeg: negAVX2, opAbs: absAVX2, opSquare: squareAVX2,
	},
	{
		opExp: expAVX512, opSigmoid: sigmoidAVX512, opTanh: tanhAVX512, opErf: erfAVX512, opSilu: siluAVX512, opGelu: geluAVX512,
		opGeluTanh: geluTanhAVX512, opQuickGelu: quickGeluAVX512, opSiluSlope: siluSlopeAVX512, opGeluSlope: geluSlopeAVX512, opSqrt: sqrtAVX512, opRsqrt: rsqrtAVX512,
		opReciprocal: reciprocalAVX512, opRelu: reluAVX512, opNeg: negAVX512, opAbs: absAVX512, opSquare: squareAVX512,
	},
}

var binaryLoops = [2][opRevSub]binaryLoop{
	{opAdd: addAVX2, opSub: subAVX2, opMul: mulAVX2, opDiv: divAVX2, opMax: maxAVX2, opMin: minAVX2},
	{opAdd: addAVX512, opSub: subAVX512, opMul: mulAVX512, opDiv: divAVX512, opMax: maxAVX512, opMin: minAVX512},
}

var scalarLoops = [2][opRevDiv + 1]scalarLoop{
	{
		opAdd: addScalarAVX2, opMul: mulScalarAVX2, opDiv: divScalarAVX2, opMax: maxScalarAVX2, opMin: minScalarAVX2,
		opRevSub: revSubScalarAVX2, opRevDiv: revDivScalarAVX2,
	},
	{
		opAdd: addScalarAVX512, opMul: mulScalarAVX512, opDiv: divScalarAVX512, opMax: maxScalarAVX512, opMin: minScalarAVX512,
		opRevSub: revSubScalarAVX512, opRevDiv: revDivScalarAVX512,
	},
}

// The wrappers below report whether they did the work; false sends the caller to the
// plain loop. Slices have equal lengths.

func unaryAsm(op unaryOp, dst, src []float32) bool {
	if selected == levelRef || op >= opLog {
		return false
	}
	f := unaryLoops[selected-1][op]
	for i := 0; i < len(dst); i += asmChunk {
		f(&dst[i], &src[i], min(asmChunk, len(dst)-i))
	}
	return true
}

func binaryAsm(op binaryOp, dst, a, b []float32) bool {
	if selected == levelRef {
		return false
	}
	f := binaryLoops[selected-1][op]
	for i := 0; i < len(dst); i += asmChunk {
		f(&dst[i], &a[i], &b[i], min(asmChunk, len(dst)-i))
	}
	return true
}

func scalarAsm(op binaryOp, dst, a []float32, s float32) bool {
	if selected == levelRef {
		return false
	}
	f := scalarLoops[selected-1][op]
	for i := 0; i < len(dst); i += asmChunk {
		f(&dst[i], &a[i], s, min(asmChunk, len(dst)-i))
	}
	return true
}

func mulAddAsm(dst, a, b, c []float32) bool {
	for i := 0; i < len(dst) && selected != levelRef; i += asmChunk {
		n := min(asmChunk, len(dst)-i)
		if selected == levelAVX512 {
			mulAddAVX512(&dst[i], &a[i], &b[i], &c[i], n)
		} else {
			mulAddAVX2(&dst[i], &a[i], &b[i], &c[i], n)
		}
	}
	return selected != levelRef
}

func mulAddScalarAsm(dst, a []float32, m, s float32) bool {
	for i := 0; i < len(dst) && selected != levelRef; i += asmChunk {
		n := min(asmChunk, len(dst)-i)
		if selected == levelAVX512 {
			mulAddScalarAVX512(&dst[i], &a[i], m, s, n)
		} else {
			mulAddScalarAVX2(&dst[i], &a[i], m, s, n)
		}
	}
	return selected != levelRef
}

func axpbyAsm(y, x []float32, s, a, b float32) bool {
	for i := 0; i < len(x) && selected != levelRef; i += asmChunk {
		n := min(asmChunk, len(x)-i)
		if selected == levelAVX512 {
			axpbyAVX512(&y[i], &x[i], s, a, b, n)
		} else {
			axpbyAVX2(&y[i], &x[i], s, a, b, n)
		}
	}
	return selected != levelRef
}

func gegluGradAsm(da, db, a, b, dy []float32) bool {
	for i := 0; i < len(dy) && selected != levelRef; i += asmChunk {
		n := min(asmChunk, len(dy)-i)
		if selected == levelAVX512 {
			gegluGradAVX512(&da[i], &db[i], &a[i], &b[i], &dy[i], n)
		} else {
			gegluGradAVX2(&da[i], &db[i], &a[i], &b[i], &dy[i], n)
		}
	}
	return selected != levelRef
}

// dots is dotsRef with eight partial sums.
func dots(a, b []float32) (sum, dot float64) {
	if selected == levelRef {
		return dotsRef(a, b)
	}
	b = b[:len(a)]
	whole := len(a) &^ 7
	for i := 0; i < whole; i += asmChunk {
		var part [16]float64
		if n := min(asmChunk, whole-i); selected == levelAVX512 {
			dotsAVX512(&a[i], &b[i], n, &part[0])
		} else {
			dotsAVX2(&a[i], &b[i], n, &part[0])
		}
		for l := range 8 {
			sum += part[l]
			dot += part[8+l]
		}
	}
	s, d := dotsRef(a[whole:], b[whole:])
	return sum + s, dot + d
}

// sumSquares is sumSquaresRef with eight partial sums.
func sumSquares(x []float32, shift float64) (sum, squares float64) {
	if selected == levelRef {
		return sumSquaresRef(x, shift)
	}
	whole := len(x) &^ 7
	for i := 0; i < whole; i += asmChunk {
		var part [16]float64
		if n := min(asmChunk, whole-i); selected == levelAVX512 {
			momentsAVX512(&x[i], n, shift, &part[0])
		} else {
			momentsAVX2(&x[i], n, shift, &part[0])
		}
		for l := range 8 {
			sum += part[l]
			squares += part[8+l]
		}
	}
	s, q := sumSquaresRef(x[whole:], shift)
	return sum + s, squares + q
}

func maxOf(x []float32) float32 {
	const lanes = 16
	whole := len(x) &^ (lanes - 1)
	if selected == levelRef || whole == 0 {
		return maxOfRef(x)
	}
	m := maxOfRef(x[whole:])
	for i := 0; i < whole; i += asmChunk {
		var part [lanes]float32
		if n := min(asmChunk, whole-i); selected == levelAVX512 {
			maxOfAVX512(&x[i], n, &part[0])
		} else {
			maxOfAVX2(&x[i], n, &part[0])
			copy(part[8:], part[:8])
		}
		m = max(m, maxOfRef(part[:]))
	}
	return m
}

func widenF16Asm(dst []float32, src []uint16) bool {
	return widenBy(widenF16AVX2, widenF16AVX512, widenF16Ref, dst, src)
}

func widenBF16Asm(dst []float32, src []uint16) bool {
	return widenBy(widenBF16AVX2, widenBF16AVX512, widenBF16Ref, dst, src)
}

func widenBy(avx2, avx512 func(*float32, *uint16, int), tail func([]float32, []uint16), dst []float32, src []uint16) bool {
	if selected == levelRef {
		return false
	}
	f := avx2
	if selected == levelAVX512 {
		f = avx512
	}
	whole := len(dst) &^ 15
	for i := 0; i < whole; i += asmChunk {
		f(&dst[i], &src[i], min(asmChunk, whole-i))
	}
	tail(dst[whole:], src[whole:])
	return true
}

func narrowF16Asm(dst []uint16, src []float32) bool {
	if selected == levelRef {
		return false
	}
	f := narrowF16AVX2
	if selected == levelAVX512 {
		f = narrowF16AVX512
	}
	whole := len(dst) &^ 15
	for i := 0; i < whole; i += asmChunk {
		f(&dst[i], &src[i], min(asmChunk, whole-i))
	}
	narrowF16Ref(dst[whole:], src[whole:])
	return true
}
