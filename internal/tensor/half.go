package tensor

import "math"

// F16ToF32 widens an IEEE 754 binary16 value, given by its bits. The result is exact; NaN payloads are kept.
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	rest := uint32(h&0x7fff) << 13
	if h&0x7c00 == 0x7c00 { // infinity or NaN: the exponent is all ones in both formats
		return math.Float32frombits(sign | 0x7f800000 | rest)
	}
	// The bits now spell the value times 2^-112 (the difference of the exponent biases), subnormals included.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(rest)*0x1p112))
}

// F32ToF16 rounds to the nearest binary16 value, ties to even, and returns its bits. Values from 65520 up become
// infinite; a NaN stays a NaN and keeps the upper bits of its payload.
func F32ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x47800000: // 65536
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal, a multiple of 2^-24, which is the spacing of floats in [0.5, 1)
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1 // a carry out of the mantissa moves to the next exponent, and from the last one to infinity
	return sign | uint16((b-112<<23)>>13)
}

// BF16ToF32 widens a bfloat16 value, given by its bits. The result is exact.
func BF16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// F32ToBF16 rounds to the nearest bfloat16 value, ties to even, and returns its bits. A NaN stays a NaN and keeps the
// upper bits of its payload.
func F32ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// WidenInto fills dst with elements off, off+1, … of src as float32. F32, F16 and BF16 widen exactly, F64 rounds to
// nearest even. It panics if src is of another type or has fewer than off+len(dst) elements.
func WidenInto(dst []float32, src Tensor, off int) {
	switch n := len(dst); src.DType {
	case F32:
		copy(dst, src.F32()[off:off+n])
	case F16:
		for i, h := range src.F16()[off : off+n] {
			dst[i] = F16ToF32(h)
		}
	case BF16:
		for i, h := range src.F16()[off : off+n] {
			dst[i] = BF16ToF32(h)
		}
	case F64:
		for i, v := range src.F64()[off : off+n] {
			dst[i] = float32(v)
		}
	default:
		panic("tensor: WidenInto of a " + src.DType.String() + " tensor")
	}
}

// NarrowInto is the counterpart of WidenInto: it stores src in elements off, off+1, … of dst, which must be of a
// floating-point type, rounding to nearest even.
func NarrowInto(dst Tensor, off int, src []float32) {
	switch n := len(src); dst.DType {
	case F32:
		copy(dst.F32()[off:off+n], src)
	case F16:
		for i, h := 0, dst.F16()[off:off+n]; i < n; i++ {
			h[i] = F32ToF16(src[i])
		}
	case BF16:
		for i, h := 0, dst.F16()[off:off+n]; i < n; i++ {
			h[i] = F32ToBF16(src[i])
		}
	case F64:
		for i, v := 0, dst.F64()[off:off+n]; i < n; i++ {
			v[i] = float64(src[i])
		}
	default:
		panic("tensor: NarrowInto of a " + dst.DType.String() + " tensor")
	}
}
