package tensor

import "fmt"

// DType is the element type of a Tensor.
type DType uint8

// Element types. Their order is ours; FromONNX and DType.ONNX translate to the numbers of onnx.proto.
const (
	Invalid DType = iota // no tensor: the zero value of Tensor has it
	F32                  // IEEE 754 binary32
	F16                  // IEEE 754 binary16, held as uint16
	BF16                 // the upper half of a binary32, held as uint16
	F64                  // IEEE 754 binary64
	I8
	I16
	I32
	I64
	U8
	U16
	U32
	U64
	Bool   // one byte an element, 0 or 1
	String // variable length, see FromStrings

	// Less than 16 bits, a byte an element; see small.go.
	F8E4M3FN
	F8E4M3FNUZ
	F8E5M2
	F8E5M2FNUZ
	F8E8M0
	F4E2M1
	U4
	I4
	U2
	I2
)

// dtypeInfo says everything about one element type in one row.
type dtypeInfo struct {
	name string
	size int   // bytes an element; 0 for Invalid and String
	onnx int32 // TensorProto.DataType
}

var dtypes = [...]dtypeInfo{
	Invalid: {"invalid", 0, 0},
	F32:     {"float32", 4, 1},
	F16:     {"float16", 2, 10},
	BF16:    {"bfloat16", 2, 16},
	F64:     {"float64", 8, 11},
	I8:      {"int8", 1, 3},
	I16:     {"int16", 2, 5},
	I32:     {"int32", 4, 6},
	I64:     {"int64", 8, 7},
	U8:      {"uint8", 1, 2},
	U16:     {"uint16", 2, 4},
	U32:     {"uint32", 4, 12},
	U64:     {"uint64", 8, 13},
	Bool:    {"bool", 1, 9},
	String:  {"string", 0, 8},

	F8E4M3FN:   {"float8e4m3fn", 1, 17},
	F8E4M3FNUZ: {"float8e4m3fnuz", 1, 18},
	F8E5M2:     {"float8e5m2", 1, 19},
	F8E5M2FNUZ: {"float8e5m2fnuz", 1, 20},
	F8E8M0:     {"float8e8m0", 1, 24},
	F4E2M1:     {"float4e2m1", 1, 23},
	U4:         {"uint4", 1, 21},
	I4:         {"int4", 1, 22},
	U2:         {"uint2", 1, 25},
	I2:         {"int2", 1, 26},
}

// String returns the name that ONNX and numpy users know: "float32", "int64", "bool", …
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// Size returns the bytes of one element; 0 for Invalid, String and unknown values.
func (d DType) Size() int {
	if int(d) < len(dtypes) {
		return dtypes[d].size
	}
	return 0
}

// IsFloat reports whether d is one of F32, F16, BF16 and F64.
func (d DType) IsFloat() bool { return d >= F32 && d <= F64 }

// IsInt reports whether d is a signed or unsigned integer type (Bool is not).
func (d DType) IsInt() bool { return d >= I8 && d <= U64 }

// ONNX returns the number of d in onnx.proto's TensorProto.DataType (0, UNDEFINED, for Invalid).
func (d DType) ONNX() int32 {
	if int(d) < len(dtypes) {
		return dtypes[d].onnx
	}
	return 0
}

// FromONNX translates a TensorProto.DataType number; Invalid for types that this package does not hold
// (complex numbers).
func FromONNX(n int32) DType {
	for d := F32; int(d) < len(dtypes); d++ {
		if dtypes[d].onnx == n {
			return d
		}
	}
	return Invalid
}
