package tensor

import (
	"math"
)

// Numbers of less than 16 bits. Each lies in a byte of its own: a float as its bits, an integer of 4 or 2 bits in the low
// bits, the others 0. Files pack 2 or 4 of the narrow ones into a byte (Unpack, Packed).

// IsSmall reports whether d is a float of 8 or 4 bits or an integer of 4 or 2 bits.
func (d DType) IsSmall() bool { return d >= F8E4M3FN && d <= I2 }

// IsSmallFloat reports whether d is a float of 8 or 4 bits.
func (d DType) IsSmallFloat() bool { return d >= F8E4M3FN && d <= F4E2M1 }

// PerByte is the number of elements that a file packs into a byte, 1 for types of 8 bits and more.
func (d DType) PerByte() int {
	switch d {
	case F4E2M1, U4, I4:
		return 2
	case U2, I2:
		return 4
	}
	return 1
}

// PackedBytes is the number of bytes that a file takes for n elements.
func (d DType) PackedBytes(n int) int {
	per := d.PerByte()
	return (n*d.Size() + per - 1) / per
}

// Unpack spreads n packed elements of a narrow type, first ones in the low bits, over a byte each.
func Unpack(dt DType, packed []byte, n int) []byte {
	per := dt.PerByte()
	bits := 8 / per
	out := make([]byte, n)
	for i := range out {
		out[i] = packed[i/per] >> (i % per * bits) & (1<<bits - 1)
	}
	return out
}

// Packed returns the data as files hold them: packed for narrow types, else as they are.
func (t Tensor) Packed() []byte {
	per := t.DType.PerByte()
	if per == 1 {
		return t.Data
	}
	out := make([]byte, t.DType.PackedBytes(len(t.Data)))
	for i, b := range t.Data {
		out[i/per] |= b & (1<<(8/per) - 1) << (i % per * 8 / per)
	}
	return out
}

// smallFloat describes a format: a sign bit (but for F8E8M0), then exponent, then mantissa bits.
type smallFloat struct {
	mantissa, bias int
	most           int // bits of the largest finite number
	sign           byte
	nan            byte // bits of NaN without sign
	inf            byte // bits of infinity, 0 if there is none
	oneNaN         bool // only NaN is 0x80, and zero has no sign
}

// smallFloats has no entry for F8E8M0, which is all exponent.
var smallFloats = [I2 + 1]smallFloat{
	F8E4M3FN:   {mantissa: 3, bias: 7, most: 0x7e, sign: 0x80, nan: 0x7f},
	F8E4M3FNUZ: {mantissa: 3, bias: 8, most: 0x7f, sign: 0x80, nan: 0x80, oneNaN: true},
	F8E5M2:     {mantissa: 2, bias: 15, most: 0x7b, sign: 0x80, nan: 0x7e, inf: 0x7c},
	F8E5M2FNUZ: {mantissa: 2, bias: 16, most: 0x7f, sign: 0x80, nan: 0x80, oneNaN: true},
	F4E2M1:     {mantissa: 1, bias: 1, most: 7, sign: 0x08},
}

// SmallToF64 returns the value of an element, given by its byte.
func SmallToF64(dt DType, b byte) float64 {
	switch dt {
	case U4:
		return float64(b & 15)
	case U2:
		return float64(b & 3)
	case I4:
		return float64(int8(b<<4) >> 4)
	case I2:
		return float64(int8(b<<6) >> 6)
	case F8E8M0:
		if b == 0xff {
			return math.NaN()
		}
		return math.Ldexp(1, int(b)-127)
	}
	f := &smallFloats[dt]
	sign, rest := 1.0, b&^f.sign
	if b&f.sign != 0 {
		sign = -1
	}
	switch {
	case f.oneNaN && b == f.nan, !f.oneNaN && f.nan != 0 && rest >= f.nan, f.inf != 0 && rest > f.inf:
		return math.NaN()
	case f.inf != 0 && rest == f.inf:
		return math.Inf(int(sign))
	}
	exponent, fraction := int(rest>>f.mantissa), float64(rest&(1<<f.mantissa-1))
	if exponent == 0 {
		return sign * math.Ldexp(fraction, 1-f.bias-f.mantissa)
	}
	return sign * math.Ldexp(fraction+float64(int(1)<<f.mantissa), exponent-f.bias-f.mantissa)
}

// F64ToSmall rounds to the nearest number of a format, ties to even (an F8E8M0 is made by F64ToScale). Numbers beyond the
// largest become that one when saturate is set; else infinity where the format has one, or NaN.
func F64ToSmall(dt DType, x float64, saturate bool) byte {
	f := &smallFloats[dt]
	sign := byte(0)
	if math.Signbit(x) {
		sign = f.sign
	}
	if math.IsNaN(x) {
		switch {
		case f.oneNaN:
			return f.nan
		case f.nan == 0: // no NaN in the format
			return f.sign
		}
		return sign | f.nan
	}
	b := f.round(math.Abs(x))
	if b > f.most {
		switch {
		case saturate || f.nan == 0:
			b = f.most
		case f.oneNaN:
			return f.nan
		case f.inf != 0:
			return sign | f.inf
		default:
			return sign | f.nan
		}
	}
	if b == 0 && f.oneNaN {
		return 0
	}
	return sign | byte(b)
}

// round returns the bits of the number nearest to x ≥ 0, as if exponents had no end: a carry out of the mantissa raises
// the exponent by itself, and everything beyond the largest number gives more bits than that one has.
func (f *smallFloat) round(x float64) int {
	e := max(int(math.Float64bits(x)>>52)-1023, 1-f.bias)
	if e > 1023 { // infinity
		return math.MaxInt
	}
	unit := math.Float64frombits(uint64(1023+f.mantissa-e) << 52) // 1 over the spacing of the format's numbers around x
	return (e+f.bias-1)<<f.mantissa + int(math.RoundToEven(x*unit))
}

// F64ToScale makes an F8E8M0, a power of two: rounded up, down or to the nearest in its exponent. Only the magnitude counts,
// NaN and infinity become NaN.
func F64ToScale(x float64, mode string, saturate bool) byte {
	bits := math.Float32bits(float32(x))
	e, fraction := int(bits>>23&0xff), bits&0x7fffff
	if e == 0xff {
		return 0xff
	}
	up := mode == "up" && fraction > 0
	if mode == "nearest" { // a tie goes up, except below the smallest normal number
		up = fraction > 0x400000 || fraction == 0x400000 && e > 0
	}
	if up && !(saturate && e == 0xfe) {
		e++
	}
	return byte(e)
}
