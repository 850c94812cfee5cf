package onnx

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/tensor"
)

// loader turns scanned tensors into tensors. Bytes that are stored as they are used stay where they are.
type loader struct {
	src     *source
	ext     func(location string) ([]byte, error)
	done    map[*protoTensor]*tensor.Tensor // a tensor in a function body may be met several times
	weights []weight
}

// weight is one tensor of the file, for CheckFinite and Summary.
type weight struct {
	name     string // tensor name, or a label of the node that holds it
	tensor   *tensor.Tensor
	external string // location of the external file, "" if inline
}

// load returns the tensor; where names it in messages.
func (l *loader) load(p *protoTensor, where string) (*tensor.Tensor, error) {
	if t, ok := l.done[p]; ok {
		return t, nil
	}
	shape, err := shapeOf(p.dims)
	if err != nil {
		return nil, l.bad(p, where, "%v", err)
	}
	dt := tensor.FromONNX(p.elem)
	if dt == tensor.Invalid {
		return nil, &FileError{
			File: l.src.name, Offset: int64(p.at), Where: where, What: "element type " + elemName(p.elem),
			Err: ErrUnsupported, Cure: "export with float32, float16 or bfloat16 weights",
		}
	}
	data, err := l.data(p, where, dt, shape)
	if err != nil {
		return nil, err
	}
	if dt == tensor.Bool {
		for i, b := range data {
			if b > 1 {
				return nil, l.bad(p, where, "element %d of a bool tensor is %d", i, b)
			}
		}
	}
	t := &tensor.Tensor{DType: dt, Shape: shape, Data: data}
	l.done[p] = t
	l.weights = append(l.weights, weight{where, t, p.locationName()})
	return t, nil
}

func (p *protoTensor) locationName() string {
	if p.location == 1 {
		return p.external["location"]
	}
	return ""
}

func (l *loader) bad(p *protoTensor, where, format string, args ...any) error {
	return &FileError{
		File: l.src.name, Offset: int64(p.at), Where: where, What: fmt.Sprintf(format, args...), Cure: cureTruncated,
	}
}

func shapeOf(dims []int64) ([]int, error) {
	shape := make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || int64(int(d)) != d {
			return nil, fmt.Errorf("dimension %d of shape %v is out of range", i, dims)
		}
		shape[i] = int(d)
	}
	return shape, nil
}

// data returns the bytes of the tensor, exactly as many as type and shape say.
func (l *loader) data(p *protoTensor, where string, dt tensor.DType, shape []int) ([]byte, error) {
	elems, err := tensor.Elems(shape)
	if err != nil {
		return nil, l.bad(p, where, "%v", err)
	}
	if dt == tensor.String {
		return l.strings(p, where, elems)
	}
	need, err := tensor.Bytes(dt, shape)
	if err != nil {
		return nil, l.bad(p, where, "%v", err)
	}
	if dt.PerByte() > 1 {
		n := dt.PackedBytes(elems)
		packed, err := l.stored(p, where, dt, shape, n, n)
		if err != nil {
			return nil, err
		}
		return tensor.Unpack(dt, packed, elems), nil
	}
	return l.stored(p, where, dt, shape, need, elems)
}

// stored returns the need bytes that the file holds; elems counts the numbers of a typed field.
func (l *loader) stored(p *protoTensor, where string, dt tensor.DType, shape []int, need, elems int) (_ []byte, err error) {
	if p.location == 1 {
		return l.external(p, where, dt, shape, need)
	}
	data := l.src.bytes(p.raw)
	if p.hasRaw && len(p.typed) > 0 && need > 0 {
		return nil, l.bad(p, where, "has both raw_data and %s", typedFields[p.field].name)
	}
	if !p.hasRaw || len(p.typed) > 0 {
		if data, err = l.typed(p, where, dt, elems); err != nil {
			return nil, err
		}
	}
	if len(data) != need {
		return nil, l.bad(p, where, "%v of shape %v needs %d bytes, the file has %d", dt, shape, need, len(data))
	}
	return data, nil
}

// typedField says which typed data field holds an element type.
func typedField(dt tensor.DType) protowire.Number {
	switch dt {
	case tensor.F32:
		return 4
	case tensor.F64:
		return 10
	case tensor.I64:
		return 7
	case tensor.U32, tensor.U64:
		return 11
	}
	return 5 // everything of up to 32 bits, 16-bit floats as their bits
}

// typed decodes a typed data field. Fixed-width numbers in one part (the usual case) are used in place.
func (l *loader) typed(p *protoTensor, where string, dt tensor.DType, elems int) ([]byte, error) {
	if len(p.typed) == 0 {
		return nil, nil
	}
	if want := typedField(dt); p.field != want {
		return nil, l.bad(p, where, "%v numbers belong in %s, not in %s", dt, typedFields[want].name, typedFields[p.field].name)
	}
	if p.field == 4 || p.field == 10 {
		if len(p.typed) == 1 {
			return l.src.bytes(p.typed[0]), nil
		}
		var data []byte
		for _, part := range p.typed {
			data = append(data, l.src.bytes(part)...)
		}
		return data, nil
	}
	return l.varints(p, where, dt, elems)
}

// varints decodes integers of variable length into elements of dt.
func (l *loader) varints(p *protoTensor, where string, dt tensor.DType, elems int) ([]byte, error) {
	size := dt.Size()
	present := 0
	for _, part := range p.typed {
		present += part.hi - part.lo
	}
	if elems > present { // a number takes a byte at least: refuse before allocating
		return nil, l.bad(p, where, "needs %d numbers, the file has %d bytes of them", elems, present)
	}
	data := make([]byte, 0, elems*size)
	for _, part := range p.typed {
		for b := l.src.bytes(part); len(b) > 0; {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return nil, l.bad(p, where, "%s ends within a number", typedFields[p.field].name)
			}
			if !fits(v, dt) {
				return nil, l.bad(p, where, "number %d does not fit %v", int64(v), dt)
			}
			for range size {
				data = append(data, byte(v))
				v >>= 8
			}
			b = b[n:]
		}
	}
	return data, nil
}

// fits reports whether a varint is within the range of an element type.
func fits(v uint64, dt tensor.DType) bool {
	i := int64(v)
	switch dt {
	case tensor.I8:
		return i >= math.MinInt8 && i <= math.MaxInt8
	case tensor.I16:
		return i >= math.MinInt16 && i <= math.MaxInt16
	case tensor.I32:
		return i >= math.MinInt32 && i <= math.MaxInt32
	case tensor.Bool:
		return v <= 1
	case tensor.U8, tensor.F8E4M3FN, tensor.F8E4M3FNUZ, tensor.F8E5M2, tensor.F8E5M2FNUZ, tensor.F8E8M0,
		tensor.F4E2M1, tensor.U4, tensor.I4, tensor.U2, tensor.I2: // narrow ones packed
		return v <= math.MaxUint8
	case tensor.U16, tensor.F16, tensor.BF16:
		return v <= math.MaxUint16
	case tensor.U32:
		return v <= math.MaxUint32
	}
	return true
}

func (l *loader) strings(p *protoTensor, where string, elems int) ([]byte, error) {
	if p.location == 1 || p.hasRaw || len(p.typed) > 0 && p.field != 6 {
		return nil, l.bad(p, where, "strings belong in string_data")
	}
	if len(p.typed) != elems {
		return nil, l.bad(p, where, "needs %d strings, the file has %d", elems, len(p.typed))
	}
	v := make([]string, elems)
	for i, part := range p.typed {
		v[i] = string(l.src.bytes(part))
	}
	return tensor.FromStrings(v, elems).Data, nil
}

// elemName names an element type for messages.
func elemName(n int32) string {
	names := map[int32]string{
		0: "undefined", 14: "complex64", 15: "complex128",
	}
	if s, ok := names[n]; ok {
		return s
	}
	if dt := tensor.FromONNX(n); dt != tensor.Invalid {
		return dt.String()
	}
	return fmt.Sprintf("number %d", n)
}
