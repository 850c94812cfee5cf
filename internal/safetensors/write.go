package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"unicode/utf8"

	"winnow/internal/atomicfile"
	"winnow/internal/tensor"
)

// Write stores the tensors at path, atomically: a reader sees the old file or the whole new one. Tensors are ordered by
// element type, large elements first, and then by name, as in the reference implementation, so that equal content gives equal
// bytes, there and here. metadata may be nil.
func Write(path string, tensors map[string]tensor.Tensor, metadata map[string]string) error {
	names, head, err := layout(path, tensors, metadata)
	if err != nil {
		return err
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for _, name := range names {
			if _, err := w.Write(tensors[name].Data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return &Error{File: path, What: "cannot write", Err: err}
	}
	return nil
}

// Encode returns the file that Write would store.
func Encode(tensors map[string]tensor.Tensor, metadata map[string]string) ([]byte, error) {
	names, out, err := layout("safetensors", tensors, metadata)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		out = append(out, tensors[name].Data...)
	}
	return out, nil
}

// rank is the reference implementation's order of element types.
var rank = map[tensor.DType]int{
	tensor.Bool: 0, tensor.U8: 1, tensor.I8: 2, tensor.I16: 3, tensor.U16: 4, tensor.F16: 5, tensor.BF16: 6,
	tensor.I32: 7, tensor.U32: 8, tensor.F32: 9, tensor.F64: 10, tensor.I64: 11, tensor.U64: 12,
}

// layout returns the tensors' names in file order and the file's beginning: length and header.
func layout(path string, tensors map[string]tensor.Tensor, metadata map[string]string) ([]string, []byte, error) {
	names := make([]string, 0, len(tensors))
	for name, t := range tensors {
		if err := writable(name, t); err != nil {
			return nil, nil, &Error{File: path, Tensor: name, What: "cannot be written", Err: err}
		}
		names = append(names, name)
	}
	sort.Slice(names, func(i, k int) bool {
		if a, b := rank[tensors[names[i]].DType], rank[tensors[names[k]].DType]; a != b {
			return a > b
		}
		return names[i] < names[k]
	})
	head, err := headerJSON(names, tensors, metadata)
	if err != nil {
		return nil, nil, &Error{File: path, What: "header", Err: err}
	}
	for len(head)%8 != 0 { // aligns the data section
		head = append(head, ' ')
	}
	if len(head) > maxHeader {
		return nil, nil, &Error{File: path, What: fmt.Sprintf("a header of %d bytes exceeds the format's limit", len(head))}
	}
	return names, append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), nil
}

func writable(name string, t tensor.Tensor) error {
	switch {
	case name == metadataKey:
		return errors.New("the name is reserved")
	case !utf8.ValidString(name):
		return errors.New("the name is no UTF-8 text")
	}
	if _, ok := dtypeNames[t.DType]; !ok {
		return fmt.Errorf("the format has no element type for %v", t.DType)
	}
	n, err := tensor.Bytes(t.DType, t.Shape)
	if err == nil && n != len(t.Data) {
		err = fmt.Errorf("%v has %d bytes of data", t, len(t.Data))
	}
	return err
}

// headerJSON writes the header with metadata first and the tensors in file order.
func headerJSON(names []string, tensors map[string]tensor.Tensor, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	sep := byte('{')
	add := func(key string, value any) error {
		b.WriteByte(sep)
		sep = ','
		if err := appendJSON(&b, key); err != nil {
			return err
		}
		b.WriteByte(':')
		return appendJSON(&b, value)
	}
	if metadata != nil {
		for key, value := range metadata {
			if !utf8.ValidString(key) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("metadata %q is no UTF-8 text", key)
			}
		}
		if err := add(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	off := 0
	for _, name := range names {
		t := tensors[name]
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		err := add(name, struct {
			DType   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{dtypeNames[t.DType], shape, [2]int{off, off + len(t.Data)}})
		if err != nil {
			return nil, err
		}
		off += len(t.Data)
	}
	if sep == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// appendJSON writes v without the HTML escapes that package json adds by default.
func appendJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // Encode ends with a newline
	return nil
}
