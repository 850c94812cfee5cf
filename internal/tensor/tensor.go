// Package tensor holds multi-dimensional arrays as plain bytes with a type and a shape: what a weights file contains,
// what a network takes and what it returns. It computes nothing beyond conversions between float formats.
//
// Layout is row-major and little endian, so that a Tensor may alias a memory-mapped file. The typed views (F32, I64, …)
// alias Data and cost nothing; a view need not be aligned to its element size, which the supported machines allow.
package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unsafe"
)

// Tensor is a row-major, little-endian array. len(Data) equals Elems()·DType.Size() except for String. A scalar has an
// empty, non-nil Shape. The zero value (DType Invalid) stands for "absent".
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// align is the alignment of New: a cache line and the widest vector register.
const align = 64

// New returns a zeroed tensor whose data begins at a multiple of 64 bytes. It panics on a negative dimension, on sizes
// that overflow, and on types without a fixed size: shapes from outside go through Bytes first.
func New(dt DType, shape ...int) Tensor {
	n, err := Bytes(dt, shape)
	if err != nil {
		panic("tensor: New: " + err.Error())
	}
	return Tensor{dt, cloneShape(shape), alignedBytes(n)}
}

func alignedBytes(n int) []byte {
	buf := make([]byte, n+align-1)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf))) % align)
	return buf[off : off+n : off+n]
}

// cloneShape copies shape; never nil, so that a scalar differs from the zero Tensor.
func cloneShape(shape []int) []int { return append(make([]int, 0, len(shape)), shape...) }

// Elems returns the product of the dimensions of shape (1 for a scalar). An error means a negative dimension or a
// product beyond the range of int.
func Elems(shape []int) (int, error) {
	n := uint64(1)
	zero := false
	for i, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d of shape %v is negative", i, shape)
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v has more elements than an int can count", shape)
		}
		n = lo
	}
	if zero {
		return 0, nil
	}
	return int(n), nil
}

// Bytes returns the length that the Data of a tensor of this type and shape has. It is the check to make before
// allocating for a shape that came from outside.
func Bytes(dt DType, shape []int) (int, error) {
	n, err := Elems(shape)
	if err != nil {
		return 0, err
	}
	size := dt.Size()
	if size == 0 {
		return 0, fmt.Errorf("a %s tensor has no fixed element size", dt)
	}
	if n > math.MaxInt/size {
		return 0, fmt.Errorf("a %s tensor of shape %v has more bytes than an int can count", dt, shape)
	}
	return n * size, nil
}

// element lists the Go types whose slices a Tensor can alias.
type element interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool
}

func from[T element](dt DType, v []T, shape []int) Tensor {
	n, err := Elems(shape)
	if err != nil || n != len(v) {
		panic(fmt.Sprintf("tensor: %d %s values do not fill shape %v", len(v), dt, shape))
	}
	data := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*dt.Size())
	return Tensor{dt, cloneShape(shape), data}
}

// FromF32 returns a tensor that aliases v. Like its siblings it panics if shape does not have len(v) elements.
func FromF32(v []float32, shape ...int) Tensor { return from(F32, v, shape) }

// FromF64 returns a tensor that aliases v.
func FromF64(v []float64, shape ...int) Tensor { return from(F64, v, shape) }

// FromF16 returns a tensor that aliases v, the bits of binary16 numbers.
func FromF16(v []uint16, shape ...int) Tensor { return from(F16, v, shape) }

// FromBF16 returns a tensor that aliases v, the bits of bfloat16 numbers.
func FromBF16(v []uint16, shape ...int) Tensor { return from(BF16, v, shape) }

// FromI8 returns a tensor that aliases v.
func FromI8(v []int8, shape ...int) Tensor { return from(I8, v, shape) }

// FromI16 returns a tensor that aliases v.
func FromI16(v []int16, shape ...int) Tensor { return from(I16, v, shape) }

// FromI32 returns a tensor that aliases v.
func FromI32(v []int32, shape ...int) Tensor { return from(I32, v, shape) }

// FromI64 returns a tensor that aliases v.
func FromI64(v []int64, shape ...int) Tensor { return from(I64, v, shape) }

// FromU8 returns a tensor that aliases v.
func FromU8(v []uint8, shape ...int) Tensor { return from(U8, v, shape) }

// FromU16 returns a tensor that aliases v.
func FromU16(v []uint16, shape ...int) Tensor { return from(U16, v, shape) }

// FromU32 returns a tensor that aliases v.
func FromU32(v []uint32, shape ...int) Tensor { return from(U32, v, shape) }

// FromU64 returns a tensor that aliases v.
func FromU64(v []uint64, shape ...int) Tensor { return from(U64, v, shape) }

// FromBool returns a tensor that aliases v.
func FromBool(v []bool, shape ...int) Tensor { return from(Bool, v, shape) }

// FromStrings returns a String tensor. Its Data holds each element as a length (unsigned varint) and the bytes.
func FromStrings(v []string, shape ...int) Tensor {
	n, err := Elems(shape)
	if err != nil || n != len(v) {
		panic(fmt.Sprintf("tensor: %d strings do not fill shape %v", len(v), shape))
	}
	data := []byte{}
	for _, s := range v {
		data = binary.AppendUvarint(data, uint64(len(s)))
		data = append(data, s...)
	}
	return Tensor{String, cloneShape(shape), data}
}

func view[T element](t Tensor, ok bool) []T {
	if !ok {
		var z T
		panic(fmt.Sprintf("tensor: view of %T on a %s tensor", z, t.DType))
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.Data))), len(t.Data)/t.DType.Size())
}

// F32 returns Data as float32; it panics on any other element type, as its siblings do on theirs.
func (t Tensor) F32() []float32 { return view[float32](t, t.DType == F32) }

// F64 returns Data as float64.
func (t Tensor) F64() []float64 { return view[float64](t, t.DType == F64) }

// F16 returns the bits of an F16 or BF16 tensor.
func (t Tensor) F16() []uint16 { return view[uint16](t, t.DType == F16 || t.DType == BF16) }

// I8 returns Data as int8.
func (t Tensor) I8() []int8 { return view[int8](t, t.DType == I8) }

// I16 returns Data as int16.
func (t Tensor) I16() []int16 { return view[int16](t, t.DType == I16) }

// I32 returns Data as int32.
func (t Tensor) I32() []int32 { return view[int32](t, t.DType == I32) }

// I64 returns Data as int64.
func (t Tensor) I64() []int64 { return view[int64](t, t.DType == I64) }

// U8 returns Data as uint8.
func (t Tensor) U8() []uint8 { return view[uint8](t, t.DType == U8) }

// U16 returns Data as uint16.
func (t Tensor) U16() []uint16 { return view[uint16](t, t.DType == U16) }

// U32 returns Data as uint32.
func (t Tensor) U32() []uint32 { return view[uint32](t, t.DType == U32) }

// U64 returns Data as uint64.
func (t Tensor) U64() []uint64 { return view[uint64](t, t.DType == U64) }

// Bools returns Data as bool. Whoever fills a Bool tensor from outside must make every byte 0 or 1 first.
func (t Tensor) Bools() []bool { return view[bool](t, t.DType == Bool) }

// CheckStrings reports what is wrong with a String tensor whose Data came from elsewhere than FromStrings.
func (t Tensor) CheckStrings() error {
	n := 0
	for data := t.Data; len(data) > 0; n++ {
		size, w := binary.Uvarint(data)
		if w <= 0 || size > uint64(len(data)-w) {
			return fmt.Errorf("string %d of %v runs past the end of the data", n, t)
		}
		data = data[w+int(size):]
	}
	if n != t.Elems() {
		return fmt.Errorf("%d strings where %v has %d", n, t, t.Elems())
	}
	return nil
}

// Strings returns a copy of the elements of a String tensor. It panics where CheckStrings finds a fault.
func (t Tensor) Strings() []string {
	if t.DType != String {
		panic("tensor: Strings of a " + t.DType.String() + " tensor")
	}
	out := make([]string, 0, t.Elems())
	for data := t.Data; len(data) > 0; {
		n, w := binary.Uvarint(data)
		out = append(out, string(data[w:w+int(n)]))
		data = data[w+int(n):]
	}
	return out
}

// Elems returns the number of elements: 1 for a scalar, 0 for the zero Tensor.
func (t Tensor) Elems() int {
	if t.DType == Invalid {
		return 0
	}
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Clone returns a tensor with its own (aligned) data and shape.
func (t Tensor) Clone() Tensor {
	if t.DType == Invalid {
		return Tensor{}
	}
	data := alignedBytes(len(t.Data))
	copy(data, t.Data)
	return Tensor{t.DType, cloneShape(t.Shape), data}
}

// Reshaped returns the same data under another shape of equally many elements; it panics if they differ.
func (t Tensor) Reshaped(shape ...int) Tensor {
	if n, err := Elems(shape); err != nil || n != t.Elems() {
		panic(fmt.Sprintf("tensor: shape %v does not fit the %d elements of shape %v", shape, t.Elems(), t.Shape))
	}
	return Tensor{t.DType, cloneShape(shape), t.Data}
}

// Float32s returns the elements of a floating-point tensor as float32: an alias of Data for F32, otherwise a copy
// converted by WidenInto.
func (t Tensor) Float32s() []float32 {
	if t.DType == F32 {
		return t.F32()
	}
	out := make([]float32, t.Elems())
	WidenInto(out, t, 0)
	return out
}

// Equal reports whether both have the same type, shape and bytes. (Bytes: a NaN equals itself, 0 differs from −0.)
func (t Tensor) Equal(u Tensor) bool {
	return t.DType == u.DType && slices.Equal(t.Shape, u.Shape) && string(t.Data) == string(u.Data)
}

// String describes the tensor without its data: "float32[2 3 4]".
func (t Tensor) String() string { return fmt.Sprintf("%s%v", t.DType, t.Shape) }
