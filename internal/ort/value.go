package ort

import (
	"fmt"
	"unsafe"

	"winnow/internal/tensor"
)

// value is an OrtValue that holds a tensor.
type value uintptr

func (l *Library) free(v value) { l.release(apiReleaseValue, uintptr(v)) }

// elementType is the number of a type in ONNXTensorElementDataType, which came to the last three in another order than
// TensorProto.DataType.
func elementType(dt tensor.DType) int32 {
	switch dt {
	case tensor.U2:
		return 24
	case tensor.I2:
		return 25
	case tensor.F8E8M0:
		return 26
	}
	return dt.ONNX()
}

// fromElementType is the inverse of elementType.
func fromElementType(elem int32) tensor.DType {
	for _, dt := range []tensor.DType{tensor.U2, tensor.I2, tensor.F8E8M0} {
		if elementType(dt) == elem {
			return dt
		}
	}
	return tensor.FromONNX(elem)
}

// newValue copies a tensor into memory of ONNX Runtime.
func (l *Library) newValue(t tensor.Tensor) (value, error) {
	if t.DType.Size() == 0 {
		return 0, fmt.Errorf("%v cannot be handed to ONNX Runtime", t)
	}
	shape := dimensions(t)
	var v value
	if err := l.do(apiCreateTensorAsOrtValue, l.alloc, uintptr(unsafe.Pointer(unsafe.SliceData(shape))), uintptr(len(shape)),
		uintptr(elementType(t.DType)), uintptr(unsafe.Pointer(&v))); err != nil {
		return 0, err
	}
	if len(t.Data) == 0 {
		return v, nil
	}
	packed := t.Packed()
	data, err := l.bytes(v, len(packed))
	if err != nil {
		l.free(v)
		return 0, err
	}
	copy(data, packed)
	return v, nil
}

// dimensions is the shape of a tensor for C; that of a scalar has an address too.
func dimensions(t tensor.Tensor) []int64 {
	shape := make([]int64, len(t.Shape), len(t.Shape)+1)
	for i, d := range t.Shape {
		shape[i] = int64(d)
	}
	return shape
}

// viewOf is a second value for the memory of v, which holds t. It must be freed before v.
func (l *Library) viewOf(v value, t tensor.Tensor) (view value, err error) {
	var p unsafe.Pointer
	if err := l.do(apiGetTensorMutableData, uintptr(v), uintptr(unsafe.Pointer(&p))); err != nil {
		return 0, err
	}
	shape := dimensions(t)
	err = l.do(apiCreateTensorWithDataAsOrtValue, l.cpu, uintptr(p), uintptr(t.DType.PackedBytes(t.Elems())), uintptr(unsafe.Pointer(unsafe.SliceData(shape))),
		uintptr(len(shape)), uintptr(elementType(t.DType)), uintptr(unsafe.Pointer(&view)))
	return view, err
}

// bytes views the memory of a value in ordinary memory. It is valid until the value is freed.
func (l *Library) bytes(v value, n int) ([]byte, error) {
	var p unsafe.Pointer
	if err := l.do(apiGetTensorMutableData, uintptr(v), uintptr(unsafe.Pointer(&p))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), n), nil
}

// read copies a value in ordinary memory into a fresh tensor.
func (l *Library) read(v value) (tensor.Tensor, error) {
	dt, shape, err := l.typeOf(v)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if _, err := tensor.Bytes(dt, shape); err != nil {
		return tensor.Tensor{}, err
	}
	t := tensor.New(dt, shape...)
	if len(t.Data) == 0 {
		return t, nil
	}
	data, err := l.bytes(v, dt.PackedBytes(t.Elems()))
	if err != nil {
		return tensor.Tensor{}, err
	}
	if dt.PerByte() > 1 {
		data = tensor.Unpack(dt, data, len(t.Data))
	}
	copy(t.Data, data)
	return t, nil
}

func (l *Library) typeOf(v value) (dt tensor.DType, shape []int, err error) {
	var info uintptr
	if err := l.do(apiGetTensorTypeAndShape, uintptr(v), uintptr(unsafe.Pointer(&info))); err != nil {
		return 0, nil, err
	}
	defer l.release(apiReleaseTensorTypeAndShapeInfo, info)
	var elem int32
	if err := l.do(apiGetTensorElementType, info, uintptr(unsafe.Pointer(&elem))); err != nil {
		return 0, nil, err
	}
	var n uintptr
	if err := l.do(apiGetDimensionsCount, info, uintptr(unsafe.Pointer(&n))); err != nil {
		return 0, nil, err
	}
	dims := make([]int64, n, n+1)
	if err := l.do(apiGetDimensions, info, uintptr(unsafe.Pointer(unsafe.SliceData(dims))), n); err != nil {
		return 0, nil, err
	}
	shape = make([]int, n)
	for i, d := range dims {
		shape[i] = int(d)
	}
	return fromElementType(elem), shape, nil
}
