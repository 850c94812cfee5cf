package kernel

import (
	"math"

	"winnow/internal/tensor"
)

type unaryOp uint8

const (
	opExp unaryOp = iota
	opSigmoid
	opTanh
	opErf
	opSilu
	opGelu
	opGeluTanh
	opQuickGelu
	opSiluSlope
	opGeluSlope
	opSqrt
	opRsqrt
	opReciprocal
	opRelu
	opNeg
	opAbs
	opSquare
	opLog // from here on without assembly
	opSin
	opCos
)

type binaryOp uint8

const (
	opAdd binaryOp = iota
	opSub
	opMul
	opDiv
	opMax
	opMin
	opRevSub // scalar - a
	opRevDiv // scalar / a
)

// unaryFormulas holds the definition of every unary function in float64.
var unaryFormulas = [...]func(x float64) float64{
	opExp:        math.Exp,
	opSigmoid:    sigmoid,
	opTanh:       math.Tanh,
	opErf:        math.Erf,
	opSilu:       func(x float64) float64 { return x * sigmoid(x) },
	opGelu:       func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) },
	opGeluTanh:   geluTanh,
	opQuickGelu:  func(x float64) float64 { return x * sigmoid(1.702*x) },
	opSiluSlope:  siluSlope,
	opGeluSlope:  geluSlope,
	opSqrt:       math.Sqrt,
	opRsqrt:      func(x float64) float64 { return 1 / math.Sqrt(x) },
	opReciprocal: func(x float64) float64 { return 1 / x },
	opRelu:       func(x float64) float64 { return math.Max(x, 0) },
	opNeg:        func(x float64) float64 { return -x },
	opAbs:        math.Abs,
	opSquare:     func(x float64) float64 { return x * x },
	opLog:        math.Log,
	opSin:        math.Sin,
	opCos:        math.Cos,
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// geluTanh uses ½(1+tanh u) = sigmoid(2u), which does not cancel for negative x.
func geluTanh(x float64) float64 {
	u := math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x)
	return x * sigmoid(2*u)
}

// siluSlope is the derivative of x·sigmoid(x).
func siluSlope(x float64) float64 {
	s := sigmoid(x)
	return s + min(max(x, -1e3), 1e3)*s*(1-s)
}

// geluSlope is the derivative of x·Φ(x): Φ(x) + x·φ(x).
func geluSlope(x float64) float64 {
	return 0.5*math.Erfc(-x/math.Sqrt2) + min(max(x, -1e3), 1e3)*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

func unaryRef(op unaryOp, dst, src []float32) {
	f := unaryFormulas[op]
	for i, x := range src {
		dst[i] = float32(f(float64(x)))
	}
}

func binaryRef(op binaryOp, dst, a, b []float32) {
	switch op {
	case opAdd:
		for i, x := range a {
			dst[i] = x + b[i]
		}
	case opSub:
		for i, x := range a {
			dst[i] = x - b[i]
		}
	case opMul:
		for i, x := range a {
			dst[i] = x * b[i]
		}
	case opDiv:
		for i, x := range a {
			dst[i] = x / b[i]
		}
	case opMax:
		for i, x := range a {
			dst[i] = max(x, b[i])
		}
	case opMin:
		for i, x := range a {
			dst[i] = min(x, b[i])
		}
	}
}

func scalarRef(op binaryOp, dst, a []float32, s float32) {
	switch op {
	case opAdd:
		for i, x := range a {
			dst[i] = x + s
		}
	case opMul:
		for i, x := range a {
			dst[i] = x * s
		}
	case opDiv:
		for i, x := range a {
			dst[i] = x / s
		}
	case opMax:
		for i, x := range a {
			dst[i] = max(x, s)
		}
	case opMin:
		for i, x := range a {
			dst[i] = min(x, s)
		}
	case opRevSub:
		for i, x := range a {
			dst[i] = s - x
		}
	case opRevDiv:
		for i, x := range a {
			dst[i] = s / x
		}
	}
}

func powRef(dst, a, b []float32) {
	for i, x := range a {
		dst[i] = float32(math.Pow(float64(x), float64(b[i])))
	}
}

func mulAddRef(dst, a, b, c []float32) {
	for i, x := range a {
		dst[i] = fma32(x, b[i], c[i])
	}
}

func mulAddScalarRef(dst, a []float32, m, s float32) {
	for i, x := range a {
		dst[i] = fma32(x, m, s)
	}
}

// axpbyRef makes y into s·y + (a·x + b).
func axpbyRef(y, x []float32, s, a, b float32) {
	for i, v := range x {
		y[i] = fma32(y[i], s, fma32(v, a, b))
	}
}

// dotsRef returns Σ a and Σ a·b in float64.
func dotsRef(a, b []float32) (sum, dot float64) {
	for i, v := range a {
		sum += float64(v)
		dot += float64(v) * float64(b[i])
	}
	return sum, dot
}

// gegluGradRef writes the gradient of a·gelu(b).
func gegluGradRef(da, db, a, b, dy []float32) {
	gelu := unaryFormulas[opGelu]
	for i, g := range dy {
		x, y := g*a[i], float64(b[i])
		da[i], db[i] = float32(float64(g)*gelu(y)), float32(float64(x)*geluSlope(y))
	}
}

// fma32 is a·b+c in float32 with one rounding but for rare ties: the product is
// exact in float64, and so is the sum unless exponents lie far apart.
func fma32(a, b, c float32) float32 { return float32(float64(a)*float64(b) + float64(c)) }

// sumSquaresRef returns Σ(x-shift) and Σ(x-shift)² in float64.
func sumSquaresRef(x []float32, shift float64) (sum, squares float64) {
	for _, v := range x {
		d := float64(v) - shift
		sum += d
		squares += d * d
	}
	return sum, squares
}

func maxOfRef(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func widenF16Ref(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = tensor.F16ToF32(h)
	}
}

func narrowF16Ref(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = tensor.F32ToF16(x)
	}
}

func widenBF16Ref(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = tensor.BF16ToF32(h)
	}
}

func narrowBF16Ref(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = tensor.F32ToBF16(x)
	}
}
