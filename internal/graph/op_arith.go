package graph

import (
	"errors"
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

var errDivZero = errors.New("integer division by zero")

// arithOp names an arithmetic function of two operands.
type arithOp uint8

const (
	arithAdd arithOp = iota
	arithSub
	arithMul
	arithDiv
	arithMod  // sign of the divisor
	arithFMod // sign of the dividend
	arithMin
	arithMax
	arithAnd
	arithOr
	arithXor
	arithShl
	arithShr
)

var arithRows = map[arithOp]rowFuncs{
	arithAdd: {
		kernel.Add, kernel.AddScalar,
		func(dst []float32, a float32, b []float32) { kernel.AddScalar(dst, b, a) },
	},
	arithSub: {
		kernel.Sub,
		func(dst, a []float32, b float32) { kernel.AddScalar(dst, a, -b) },
		func(dst []float32, a float32, b []float32) { kernel.SubScalarFrom(dst, b, a) },
	},
	arithMul: {
		kernel.Mul, kernel.MulScalar,
		func(dst []float32, a float32, b []float32) { kernel.MulScalar(dst, b, a) },
	},
	arithDiv: {
		kernel.Div, kernel.DivScalar,
		func(dst []float32, a float32, b []float32) { kernel.DivScalarInto(dst, b, a) },
	},
}

func init() {
	for name, op := range map[string]arithOp{"Add": arithAdd, "Sub": arithSub, "Mul": arithMul, "Div": arithDiv} {
		Register(Operator{
			Name: name, Since: 7, InPlace: []int{0, 1},
			Infer:   func(c *NodeCtx) error { return inferBinary(c, classNumber, tensor.Invalid) },
			Compile: func(c *NodeCtx) (Kernel, error) { return arithKernel(c, op), nil },
			VJP:     arithVJP[op],
		})
	}
	Register(Operator{Name: "Mod", Since: 10, InPlace: []int{0, 1}, Infer: inferMod, Compile: compileMod, VJP: modVJP})
	for name, op := range map[string]arithOp{"BitwiseAnd": arithAnd, "BitwiseOr": arithOr, "BitwiseXor": arithXor} {
		Register(Operator{
			Name: name, Since: 18, InPlace: []int{0, 1},
			Infer:   func(c *NodeCtx) error { return inferBinary(c, classInt, tensor.Invalid) },
			Compile: func(c *NodeCtx) (Kernel, error) { return arithInts(c, op), nil },
		})
	}
	Register(Operator{
		Name: "BitwiseNot", Since: 18, InPlace: []int{0},
		Infer:   func(c *NodeCtx) error { return inferUnary(c, classInt) },
		Compile: func(c *NodeCtx) (Kernel, error) { return intUnary(unaryNot)(c.In[0].DType), nil },
	})
	Register(Operator{
		Name: "BitShift", Since: 11, InPlace: []int{0, 1},
		Infer:   func(c *NodeCtx) error { return inferBinary(c, classInt, tensor.Invalid) },
		Compile: compileBitShift,
	})
}

// arithKernel chooses the loop by storage type.
func arithKernel(c *NodeCtx, op arithOp) Kernel {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		if rows, ok := arithRows[op]; ok {
			return vecBinary(c, rows)
		}
		return binaryKernel(c, arithFloat[float32](op))
	case tensor.F64:
		return binaryKernel(c, arithFloat[float64](op))
	}
	return arithInts(c, op)
}

func arithInts(c *NodeCtx, op arithOp) Kernel {
	switch c.In[0].DType {
	case tensor.I8:
		return intArith[int8](c, op)
	case tensor.I16:
		return intArith[int16](c, op)
	case tensor.I32:
		return intArith[int32](c, op)
	case tensor.I64:
		return intArith[int64](c, op)
	case tensor.U8:
		return intArith[uint8](c, op)
	case tensor.U16:
		return intArith[uint16](c, op)
	case tensor.U32:
		return intArith[uint32](c, op)
	}
	return intArith[uint64](c, op)
}

// intArith refuses a zero divisor at run time, because it depends on data.
func intArith[T integer](c *NodeCtx, op arithOp) Kernel {
	k := binaryKernel(c, arithInt[T](op))
	if op != arithDiv && op != arithMod && op != arithFMod {
		return k
	}
	loop := k.Run
	k.Run = func(f *Frame) error {
		for _, v := range view[T](f.In[1]) {
			if v == 0 && len(f.Out[0].Data) > 0 {
				return errDivZero
			}
		}
		return loop(f)
	}
	return k
}

func arithFloat[T float](op arithOp) func(a, b T) T {
	switch op {
	case arithAdd:
		return func(a, b T) T { return a + b }
	case arithSub:
		return func(a, b T) T { return a - b }
	case arithMul:
		return func(a, b T) T { return a * b }
	case arithDiv:
		return func(a, b T) T { return a / b }
	case arithMod:
		return floorMod[T]
	case arithFMod:
		return func(a, b T) T { return T(math.Mod(float64(a), float64(b))) }
	case arithMin:
		return func(a, b T) T { return min(a, b) } // NaN wins, as in ONNX
	}
	return func(a, b T) T { return max(a, b) }
}

// floorMod is Python's remainder: it has the sign of the divisor, zeros included.
func floorMod[T float](a, b T) T {
	m := T(math.Mod(float64(a), float64(b)))
	switch {
	case m == 0:
		return T(math.Copysign(0, float64(b)))
	case (m < 0) != (b < 0):
		m += b
	}
	return m
}

func arithInt[T integer](op arithOp) func(a, b T) T {
	switch op {
	case arithAdd:
		return func(a, b T) T { return a + b }
	case arithSub:
		return func(a, b T) T { return a - b }
	case arithMul:
		return func(a, b T) T { return a * b }
	case arithDiv:
		return func(a, b T) T { return a / b } // towards zero, as ONNX says
	case arithMod:
		return func(a, b T) T {
			m := a % b
			if m != 0 && (m < 0) != (b < 0) {
				m += b
			}
			return m
		}
	case arithFMod:
		return func(a, b T) T { return a % b }
	}
	return bitInt[T](op)
}

func bitInt[T integer](op arithOp) func(a, b T) T {
	switch op {
	case arithMin:
		return func(a, b T) T { return min(a, b) }
	case arithMax:
		return func(a, b T) T { return max(a, b) }
	case arithAnd:
		return func(a, b T) T { return a & b }
	case arithOr:
		return func(a, b T) T { return a | b }
	case arithXor:
		return func(a, b T) T { return a ^ b }
	case arithShl:
		return func(a, b T) T { return a << shiftCount(b) }
	}
	return func(a, b T) T { return a >> shiftCount(b) }
}

// shiftCount makes a negative count a shift by the whole width, as ONNX defines it.
func shiftCount[T integer](b T) uint64 {
	if b < 0 {
		return 64
	}
	return uint64(b)
}

func inferMod(c *NodeCtx) error {
	if err := inferBinary(c, classNumber, tensor.Invalid); err != nil {
		return err
	}
	if c.In[0].DType.IsFloat() && c.AttrInt("fmod", 0) != 1 && c.Node.Opset < 28 {
		return badNode(c, "floating-point operands require attribute fmod = 1")
	}
	return nil
}

func compileMod(c *NodeCtx) (Kernel, error) {
	if c.AttrInt("fmod", 0) == 1 {
		return arithKernel(c, arithFMod), nil
	}
	return arithKernel(c, arithMod), nil
}

func compileBitShift(c *NodeCtx) (Kernel, error) {
	switch dir := c.AttrString("direction", ""); dir {
	case "LEFT":
		return arithInts(c, arithShl), nil
	case "RIGHT":
		return arithInts(c, arithShr), nil
	default:
		return Kernel{}, c.Refuse("direction", "want LEFT or RIGHT, not "+dir)
	}
}

// arithVJP are the reverse passes: ∂(a±b) = (1, ±1), ∂(a·b) = (b, a), ∂(a/b) = (1/b, −(a/b)/b).
var arithVJP = map[arithOp]func(b *Backward) error{
	arithAdd: func(b *Backward) error {
		b.Give(0, b.G(0))
		b.Give(1, b.G(0))
		return nil
	},
	arithSub: func(b *Backward) error {
		b.Give(0, b.G(0))
		if b.Needs(1) {
			b.Give(1, b.Op("Neg", b.G(0)))
		}
		return nil
	},
	arithMul: func(b *Backward) error {
		for i := range 2 {
			if b.Needs(i) {
				b.Give(i, b.Op("Mul", b.G(0), b.X(1-i)))
			}
		}
		return nil
	},
	arithDiv: func(b *Backward) error {
		g := b.Op("Div", b.G(0), b.X(1))
		b.Give(0, g)
		if b.Needs(1) {
			b.Give(1, b.Op("Neg", b.Op("Mul", g, b.Y(0))))
		}
		return nil
	},
}

// modVJP: y = a - q·b with a whole quotient q, so ∂y = (1, -q). Round takes the error of the division away.
func modVJP(b *Backward) error {
	b.Give(0, b.G(0))
	if b.Needs(1) {
		q := b.Op("Round", b.div(b.sub(b.X(0), b.Y(0)), b.X(1)))
		b.Give(1, b.Op("Neg", b.mul(b.G(0), q)))
	}
	return nil
}
