package kernel

import (
	"fmt"
	"unsafe"

	"winnow/internal/tensor"
)

// Mat is a strided view of float32 numbers: element (i, j) is Data[i*RS+j*CS].
// The dimensions come from the call that uses it. A stride of 0 repeats.
type Mat struct {
	Data   []float32
	RS, CS int
}

// RowMajor is the view of a matrix stored row by row with ld elements a row.
func RowMajor(data []float32, ld int) Mat { return Mat{Data: data, RS: ld, CS: 1} }

// Transposed is the view with rows and columns exchanged.
func (m Mat) Transposed() Mat { return Mat{Data: m.Data, RS: m.CS, CS: m.RS} }

// check panics unless every element of an r×c matrix lies inside Data.
func (m Mat) check(what string, r, c int) {
	if r > 0 && c > 0 {
		need(what, len(m.Data), (r-1)*m.RS+(c-1)*m.CS+1)
	}
}

// Source is a strided matrix of float32, float16 or bfloat16 numbers, given as
// little-endian bytes: element (i, j) is number i*RowStride+j*ColStride of Data.
// It describes weights on their way into a packed form.
type Source struct {
	DType                tensor.DType
	Data                 []byte
	RowStride, ColStride int
}

// SourceF32 is the Source of float32 numbers.
func SourceF32(v []float32, rowStride, colStride int) Source {
	s := Source{DType: tensor.F32, RowStride: rowStride, ColStride: colStride}
	if len(v) > 0 {
		s.Data = unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
	}
	return s
}

// check panics unless every element of an r×c matrix lies inside Data.
func (s Source) check(what string, r, c int) {
	if s.DType != tensor.F32 && s.DType != tensor.F16 && s.DType != tensor.BF16 {
		panic(fmt.Sprintf("kernel: %s has element type %v, want float32, float16 or bfloat16", what, s.DType))
	}
	if r > 0 && c > 0 {
		need(what, len(s.Data)/s.DType.Size(), (r-1)*s.RowStride+(c-1)*s.ColStride+1)
	}
}

// f32 returns the numbers of a float32 Source in place.
func (s Source) f32() []float32 {
	if len(s.Data) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&s.Data[0])), len(s.Data)/4)
}

// u16 returns the numbers of a float16 or bfloat16 Source in place.
func (s Source) u16() []uint16 {
	if len(s.Data) < 2 {
		return nil
	}
	return unsafe.Slice((*uint16)(unsafe.Pointer(&s.Data[0])), len(s.Data)/2)
}

// widen writes n numbers that lie stride apart from element off on as float32.
func (s Source) widen(dst []float32, off, stride, n int) {
	switch {
	case s.DType == tensor.F32:
		v := s.f32()
		for i := range n {
			dst[i] = v[off+i*stride]
		}
	case stride == 1 && s.DType == tensor.F16:
		F16ToF32(dst[:n], s.u16()[off:])
	case stride == 1:
		BF16ToF32(dst[:n], s.u16()[off:])
	default:
		v, f := s.u16(), tensor.F16ToF32
		if s.DType == tensor.BF16 {
			f = tensor.BF16ToF32
		}
		for i := range n {
			dst[i] = f(v[off+i*stride])
		}
	}
}
