package kernel

import "fmt"

// asmChunk is the numbers one assembly call works on: well below 100 µs even for the
// slowest function, because Go cannot stop a goroutine inside assembly.
const asmChunk = 1 << 13

// Elementwise functions. All of them work on the first len(dst) elements, panic
// when an operand is shorter, and allow dst to be one of the operands (the same
// slice; partly overlapping slices are not allowed). NaN stays NaN, infinities
// follow IEEE 754. Accuracy of the assembly loops is tested against the plain
// loops (float64 mathematics rounded once) over the whole float32 range; the
// bound is stated with each function. ULP = unit in the last place.

// Exp writes e^src, within 2 ULP.
func Exp(dst, src []float32) { unary(opExp, dst, src) }

// Log writes the natural logarithm of src, correctly rounded but for ties of float64.
func Log(dst, src []float32) { unary(opLog, dst, src) }

// Sqrt writes the correctly rounded square root.
func Sqrt(dst, src []float32) { unary(opSqrt, dst, src) }

// Rsqrt writes 1/√src, within 1 ULP.
func Rsqrt(dst, src []float32) { unary(opRsqrt, dst, src) }

// Reciprocal writes the correctly rounded 1/src.
func Reciprocal(dst, src []float32) { unary(opReciprocal, dst, src) }

// Sigmoid writes 1/(1+e^-src), within 2 ULP.
func Sigmoid(dst, src []float32) { unary(opSigmoid, dst, src) }

// Tanh writes the hyperbolic tangent, within 2 ULP.
func Tanh(dst, src []float32) { unary(opTanh, dst, src) }

// Erf writes the error function, within 2 ULP.
func Erf(dst, src []float32) { unary(opErf, dst, src) }

// Silu writes src·sigmoid(src), within 3 ULP.
func Silu(dst, src []float32) { unary(opSilu, dst, src) }

// Gelu writes src·Φ(src) with Φ the normal distribution function, by erf.
func Gelu(dst, src []float32) { unary(opGelu, dst, src) }

// GeluTanh writes ½·x·(1+tanh(√(2/π)·(x+0.044715·x³))), the tanh approximation of GELU.
func GeluTanh(dst, src []float32) { unary(opGeluTanh, dst, src) }

// QuickGelu writes x·sigmoid(1.702·x), the activation of OpenAI's CLIP.
func QuickGelu(dst, src []float32) { unary(opQuickGelu, dst, src) }

// Relu writes max(src, 0); NaN stays NaN.
func Relu(dst, src []float32) { unary(opRelu, dst, src) }

// Neg writes -src.
func Neg(dst, src []float32) { unary(opNeg, dst, src) }

// Abs writes |src|.
func Abs(dst, src []float32) { unary(opAbs, dst, src) }

// Square writes src².
func Square(dst, src []float32) { unary(opSquare, dst, src) }

// Sin writes the sine of src (radians), correctly rounded but for ties of float64.
func Sin(dst, src []float32) { unary(opSin, dst, src) }

// Cos writes the cosine of src (radians), correctly rounded but for ties of float64.
func Cos(dst, src []float32) { unary(opCos, dst, src) }

// Add writes a+b.
func Add(dst, a, b []float32) { binary(opAdd, dst, a, b) }

// Sub writes a-b.
func Sub(dst, a, b []float32) { binary(opSub, dst, a, b) }

// Mul writes a·b.
func Mul(dst, a, b []float32) { binary(opMul, dst, a, b) }

// Div writes a/b.
func Div(dst, a, b []float32) { binary(opDiv, dst, a, b) }

// Max writes the larger of a and b; NaN if either is NaN.
func Max(dst, a, b []float32) { binary(opMax, dst, a, b) }

// Min writes the smaller of a and b; NaN if either is NaN.
func Min(dst, a, b []float32) { binary(opMin, dst, a, b) }

// Pow writes a to the power b, by float64.
func Pow(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	powRef(dst, a, b)
}

// AddScalar writes a+s.
func AddScalar(dst, a []float32, s float32) { scalar(opAdd, dst, a, s) }

// SubScalarFrom writes s-a.
func SubScalarFrom(dst, a []float32, s float32) { scalar(opRevSub, dst, a, s) }

// MulScalar writes a·s.
func MulScalar(dst, a []float32, s float32) { scalar(opMul, dst, a, s) }

// DivScalar writes a/s.
func DivScalar(dst, a []float32, s float32) { scalar(opDiv, dst, a, s) }

// DivScalarInto writes s/a.
func DivScalarInto(dst, a []float32, s float32) { scalar(opRevDiv, dst, a, s) }

// MaxScalar writes max(a, s); NaN if either is NaN.
func MaxScalar(dst, a []float32, s float32) { scalar(opMax, dst, a, s) }

// MinScalar writes min(a, s); NaN if either is NaN.
func MinScalar(dst, a []float32, s float32) { scalar(opMin, dst, a, s) }

// MulAdd writes a·b+c with one rounding (fused).
func MulAdd(dst, a, b, c []float32) {
	n := len(dst)
	a, b, c = a[:n], b[:n], c[:n]
	if !mulAddAsm(dst, a, b, c) {
		mulAddRef(dst, a, b, c)
	}
}

// MulAddScalar writes a·m+s with one rounding (fused): the normalisation step.
func MulAddScalar(dst, a []float32, m, s float32) {
	a = a[:len(dst)]
	if !mulAddScalarAsm(dst, a, m, s) {
		mulAddScalarRef(dst, a, m, s)
	}
}

// axpby makes y into s·y + (a·x + b), each product and sum with one rounding; as many numbers as x has.
func axpby(y, x []float32, s, a, b float32) {
	y = y[:len(x)]
	if !axpbyAsm(y, x, s, a, b) {
		axpbyRef(y, x, s, a, b)
	}
}

// Sum returns the sum of x in float64.
func Sum(x []float32) float64 {
	s, _ := sumSquares(x, 0)
	return s
}

// SumSquares returns the sum of (x-shift)² in float64.
func SumSquares(x []float32, shift float64) float64 {
	_, q := sumSquares(x, shift)
	return q
}

// MaxOf returns the largest element of x; -Inf for an empty x, NaN if any is NaN.
func MaxOf(x []float32) float32 { return maxOf(x) }

// F16ToF32 widens IEEE half precision numbers.
func F16ToF32(dst []float32, src []uint16) {
	src = src[:len(dst)]
	if !widenF16Asm(dst, src) {
		widenF16Ref(dst, src)
	}
}

// F32ToF16 narrows to IEEE half precision, to nearest even; NaN stays NaN.
func F32ToF16(dst []uint16, src []float32) {
	src = src[:len(dst)]
	if !narrowF16Asm(dst, src) {
		narrowF16Ref(dst, src)
	}
}

// BF16ToF32 widens bfloat16 numbers.
func BF16ToF32(dst []float32, src []uint16) {
	src = src[:len(dst)]
	if !widenBF16Asm(dst, src) {
		widenBF16Ref(dst, src)
	}
}

// F32ToBF16 narrows to bfloat16, to nearest even; NaN stays NaN.
func F32ToBF16(dst []uint16, src []float32) {
	src = src[:len(dst)]
	narrowBF16Ref(dst, src)
}

func unary(op unaryOp, dst, src []float32) {
	src = src[:len(dst)]
	if !unaryAsm(op, dst, src) {
		unaryRef(op, dst, src)
	}
}

func binary(op binaryOp, dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	if !binaryAsm(op, dst, a, b) {
		binaryRef(op, dst, a, b)
	}
}

func scalar(op binaryOp, dst, a []float32, s float32) {
	a = a[:len(dst)]
	if !scalarAsm(op, dst, a, s) {
		scalarRef(op, dst, a, s)
	}
}

// need panics unless got is at least want: the checks of the larger kernels.
func need(what string, got, want int) {
	if got < want {
		panic(fmt.Sprintf("kernel: %s has %d elements, needs %d", what, got, want))
	}
}
