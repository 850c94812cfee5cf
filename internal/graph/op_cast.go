package graph

import (
	"fmt"
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Cast", Since: 6, Infer: inferCast, Compile: compileCast, VJP: elementwise(castGrad)})
	Register(Operator{Name: "CastLike", Since: 15, Infer: inferCastLike, Compile: compileCast, VJP: elementwise(castGrad)})
}

func inferCast(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	a, ok := c.Attr("to")
	if !ok || a.Kind != AttrInt {
		return badNode(c, `lacks integer attribute "to"`)
	}
	to := typeAttr(c, "to", tensor.Invalid)
	if classOf(to)&classStored == 0 {
		return c.Refuse("to", fmt.Sprintf("data type %d", a.I))
	}
	return castTo(c, to)
}

func inferCastLike(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 1, classStored); err != nil {
		return err
	}
	return castTo(c, c.In[1].DType)
}

func castTo(c *NodeCtx, to tensor.DType) error {
	if hasStrings(c) {
		return inferCastStrings(c, to)
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	return out1(c, to, c.In[0].Shape)
}

// compileCast converts between storage types; a cast to a half type rounds although the result is stored as float32.
func compileCast(c *NodeCtx) (Kernel, error) {
	from, to := c.In[0].DType, c.Out[0].DType
	if hasStrings(c) {
		return castStrings(c, to)
	}
	if from.IsSmall() || to.IsSmall() {
		return castSmall(c, from, to)
	}
	if storage(from) == storage(to) && !narrows(from, to) {
		return run(func(f *Frame) { copyBytes(f.Pool, f.Out[0].Data, f.In[0].Data) }), nil
	}
	switch storage(from) {
	case tensor.F32:
		return castFrom[float32](to), nil
	case tensor.F64:
		return castFrom[float64](to), nil
	case tensor.I8:
		return castFrom[int8](to), nil
	case tensor.I16:
		return castFrom[int16](to), nil
	case tensor.I32:
		return castFrom[int32](to), nil
	case tensor.I64:
		return castFrom[int64](to), nil
	case tensor.U16:
		return castFrom[uint16](to), nil
	case tensor.U32:
		return castFrom[uint32](to), nil
	case tensor.U64:
		return castFrom[uint64](to), nil
	}
	return castFrom[uint8](to), nil // U8, and Bool as its byte
}

// narrows reports whether a cast between types that are stored alike must round.
func narrows(from, to tensor.DType) bool {
	return from != to && (to == tensor.F16 || to == tensor.BF16)
}

func castFrom[T number](to tensor.DType) Kernel {
	switch to {
	case tensor.F32:
		return mapKernel(func(x T) float32 { return float32(x) })
	case tensor.F16:
		return mapKernel(func(x T) float32 { return tensor.F16ToF32(tensor.F32ToF16(float32(x))) })
	case tensor.BF16:
		return mapKernel(func(x T) float32 { return tensor.BF16ToF32(tensor.F32ToBF16(float32(x))) })
	case tensor.F64:
		return mapKernel(func(x T) float64 { return float64(x) })
	case tensor.Bool:
		return mapKernel(func(x T) bool { return x != 0 })
	case tensor.I8:
		return mapKernel(toInt[T, int8])
	case tensor.I16:
		return mapKernel(toInt[T, int16])
	case tensor.I32:
		return mapKernel(toInt[T, int32])
	case tensor.I64:
		return mapKernel(toInt[T, int64])
	case tensor.U8:
		return mapKernel(toInt[T, uint8])
	case tensor.U16:
		return mapKernel(toInt[T, uint16])
	case tensor.U32:
		return mapKernel(toInt[T, uint32])
	}
	return mapKernel(toUint64[T])
}

// toInt truncates towards zero. Go leaves floats outside the target's range to the machine; going through int64 gives
// what x86 compilers of other runtimes give: the low bits, and the least value for NaN and out-of-range numbers.
func toInt[T number, R integer](x T) R {
	if isFloat[T]() {
		f := float64(x)
		if !(f >= -0x1p63 && f < 0x1p63) {
			least := int64(math.MinInt64)
			return R(least)
		}
		return R(int64(f))
	}
	return R(x)
}

func toUint64[T number](x T) uint64 {
	if isFloat[T]() && float64(x) >= 0x1p63 && float64(x) < 0x1p64 {
		return uint64(float64(x))
	}
	return toInt[T, uint64](x)
}

func isFloat[T number]() bool {
	var half T = 1
	half /= 2
	return half != 0
}

// castGrad is exact between floating-point types; others carry no cotangent.
func castGrad(b *Backward) ValueID { return b.cast(b.G(0), b.In[0].DType) }
