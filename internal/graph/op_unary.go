package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// unary describes an elementwise function of one operand with the type and shape of its input.
type unary struct {
	name  string
	since int
	types class
	f32   func(dst, src []float32)     // vector loop; nil: f64 rounded to float32
	f64   func(x float64) float64      // reference, and float64 tensors
	ints  func(dt tensor.DType) Kernel // integer types, where the operator allows them
	grad  func(b *Backward) ValueID    // gradient of the input; nil: zero wherever it exists
}

var unaries = []unary{
	{"Abs", 1, classNumber, kernel.Abs, math.Abs, intUnary(unaryAbs), absGrad},
	{"Neg", 1, classNumber, kernel.Neg, func(x float64) float64 { return -x }, intUnary(unaryNeg), func(b *Backward) ValueID { return b.Op("Neg", b.G(0)) }},
	{"Sign", 9, classNumber, nil, signOf, intUnary(unarySign), nil},
	{"Exp", 1, classFloat, kernel.Exp, math.Exp, nil, func(b *Backward) ValueID { return b.mul(b.G(0), b.Y(0)) }},
	{"Log", 1, classFloat, kernel.Log, math.Log, nil, func(b *Backward) ValueID { return b.div(b.G(0), b.X(0)) }},
	{"Sqrt", 1, classFloat, kernel.Sqrt, math.Sqrt, nil, func(b *Backward) ValueID { return b.div(b.Scale(b.G(0), 0.5), b.Y(0)) }},
	{"Reciprocal", 1, classFloat, kernel.Reciprocal, func(x float64) float64 { return 1 / x }, nil, reciprocalGrad},
	{"Floor", 1, classFloat, nil, math.Floor, nil, nil},
	{"Ceil", 1, classFloat, nil, math.Ceil, nil, nil},
	{"Round", 11, classFloat, nil, math.RoundToEven, nil, nil},
	{"Sin", 7, classFloat, kernel.Sin, math.Sin, nil, sinGrad},
	{"Cos", 7, classFloat, kernel.Cos, math.Cos, nil, cosGrad},
	{"Tan", 7, classFloat, nil, math.Tan, nil, tanGrad},
	{"Asin", 7, classFloat, nil, math.Asin, nil, asinGrad},
	{"Acos", 7, classFloat, nil, math.Acos, nil, acosGrad},
	{"Atan", 7, classFloat, nil, math.Atan, nil, atanGrad},
	{"Sinh", 9, classFloat, nil, math.Sinh, nil, sinhGrad},
	{"Cosh", 9, classFloat, nil, math.Cosh, nil, coshGrad},
	{"Asinh", 9, classFloat, nil, math.Asinh, nil, asinhGrad},
	{"Acosh", 9, classFloat, nil, math.Acosh, nil, acoshGrad},
	{"Atanh", 9, classFloat, nil, math.Atanh, nil, atanhGrad},
	{"Erf", 9, classNumber, kernel.Erf, math.Erf, nil, erfGrad},
	{"Sigmoid", 1, classFloat, kernel.Sigmoid, sigmoid, nil, actGrad(kernel.ActSigmoid)},
	{"Tanh", 1, classFloat, kernel.Tanh, math.Tanh, nil, actGrad(kernel.ActTanh)},
	{"Relu", 1, classNumber, kernel.Relu, relu, intUnary(unaryRelu), actGrad(kernel.ActRelu)},
	{"Softplus", 1, classFloat, nil, softplus, nil, softplusGrad},
	{"Softsign", 1, classFloat, nil, func(x float64) float64 { return x / (1 + math.Abs(x)) }, nil, softsignGrad},
	{"HardSwish", 14, classFloat, nil, hardSwish, nil, hardSwishGrad},
	{"Mish", 18, classFloat, nil, func(x float64) float64 { return x * math.Tanh(softplus(x)) }, nil, mishGrad},
}

func init() {
	for _, u := range unaries {
		Register(Operator{
			Name: u.name, Since: u.since, InPlace: []int{0},
			Infer: func(c *NodeCtx) error { return inferUnary(c, u.types) },
			Compile: func(c *NodeCtx) (Kernel, error) {
				if classOf(c.In[0].DType) != classInt {
					return unaryKernel(c.In[0].DType, u.f32, u.f64), nil
				}
				if u.ints == nil {
					return Kernel{}, c.Refuse("", "integer input")
				}
				return u.ints(c.In[0].DType), nil
			},
			VJP: elementwise(u.grad), Flat: u.grad == nil,
		})
	}
}

// inferUnary gives the output the type of input 0.
func inferUnary(c *NodeCtx, types class) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, types); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, c.In[0].Shape)
}

// unaryKernel applies f32 (or f64 when there is no vector loop) to float storage.
func unaryKernel(dt tensor.DType, f32 func(dst, src []float32), f64 func(float64) float64) Kernel {
	if dt == tensor.F64 {
		return mapKernel(f64)
	}
	if f32 == nil {
		return mapKernel(func(x float32) float32 { return float32(f64(float64(x))) })
	}
	return run(func(f *Frame) {
		dst, src := view[float32](f.Out[0]), view[float32](f.In[0])
		chunks(f.Pool, len(dst), func(lo, hi int) { f32(dst[lo:hi], src[lo:hi]) })
	})
}

// mapKernel applies fn to every element.
func mapKernel[T, R elem](fn func(T) R) Kernel {
	return run(func(f *Frame) {
		dst, src := view[R](f.Out[0]), view[T](f.In[0])
		chunks(f.Pool, len(dst), func(lo, hi int) {
			d, s := dst[lo:hi], src[lo:hi]
			for i := range d {
				d[i] = fn(s[i])
			}
		})
	})
}

// intOp names one of the unary functions of integers.
type intOp uint8

const (
	unaryAbs intOp = iota
	unaryNeg
	unarySign
	unaryRelu
	unaryNot // bits
)

func intUnary(op intOp) func(dt tensor.DType) Kernel {
	return func(dt tensor.DType) Kernel {
		switch dt {
		case tensor.I8:
			return mapKernel(intFunc[int8](op))
		case tensor.I16:
			return mapKernel(intFunc[int16](op))
		case tensor.I32:
			return mapKernel(intFunc[int32](op))
		case tensor.I64:
			return mapKernel(intFunc[int64](op))
		case tensor.U8:
			return mapKernel(intFunc[uint8](op))
		case tensor.U16:
			return mapKernel(intFunc[uint16](op))
		case tensor.U32:
			return mapKernel(intFunc[uint32](op))
		}
		return mapKernel(intFunc[uint64](op))
	}
}

// intFunc returns the function; arithmetic wraps as in ONNX Runtime (Abs of the least integer is itself).
func intFunc[T integer](op intOp) func(T) T {
	switch op {
	case unaryAbs:
		return func(x T) T {
			if x < 0 {
				return -x
			}
			return x
		}
	case unaryNeg:
		return func(x T) T { return -x }
	case unarySign:
		return intSign[T]
	case unaryRelu:
		return func(x T) T { return max(x, 0) }
	}
	return func(x T) T { return ^x }
}

func intSign[T integer](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return ^T(0) // -1: only signed types get here
	}
	return 0
}

func signOf(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zeros and NaN
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

// softplus is ln(1+eˣ) without overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func hardSwish(x float64) float64 { return x * math.Max(0, math.Min(1, x/6+0.5)) }
