// Package safetensors reads and writes the safetensors file format: eight bytes of header length, a JSON header with the
// name, type, shape and place of each tensor, and the tensors' bytes one after another.
//
// Reading follows the rules of the reference implementation (github.com/huggingface/safetensors): a header of at most
// 100 MB, tensors that fill the data section without holes or overlap, no name twice. Files are memory-mapped; opening
// reads the header only.
package safetensors

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

// Error reports what is wrong with a safetensors file.
type Error struct {
	File   string
	Tensor string // the tensor concerned, "" if it is about the file
	What   string
	Cure   string
	Err    error
}

// Error implements error: file, tensor, cause, cure.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Tensor != "" {
		fmt.Fprintf(&b, ": tensor %q", e.Tensor)
	}
	b.WriteString(": " + e.What)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Cure != "" {
		b.WriteString("; " + e.Cure)
	}
	return b.String()
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

const cureDamaged = "the file is damaged or incomplete: copy or download it again"

// dtypes are the format's names of element types.
var dtypes = map[string]tensor.DType{
	"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16, "F64": tensor.F64, "I8": tensor.I8, "I16": tensor.I16,
	"I32": tensor.I32, "I64": tensor.I64, "U8": tensor.U8, "U16": tensor.U16, "U32": tensor.U32, "U64": tensor.U64,
	"BOOL": tensor.Bool,
}

// dtypeNames is the inverse of dtypes.
var dtypeNames = func() map[tensor.DType]string {
	m := map[tensor.DType]string{}
	for name, dt := range dtypes {
		m[dt] = name
	}
	return m
}()

// File is an open safetensors file. Its tensors alias the file and are valid until Close.
type File struct {
	// Metadata is the header's free text map; nil if it has none.
	Metadata map[string]string

	tensors map[string]tensor.Tensor
	names   []string
	mapped  *mmap.File
}

// Read maps the file at path and checks its header and every offset in it. Errors are of type *Error.
func Read(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		var detail *fs.PathError
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return nil, &Error{File: path, What: "cannot open", Err: err}
	}
	f, err := Parse(path, m.Bytes())
	if err != nil {
		_ = m.Close() // the first error is the one to report
		return nil, err
	}
	f.mapped = m
	return f, nil
}

// Parse reads a file from memory; name stands for it in messages. The tensors alias data.
func Parse(name string, data []byte) (*File, error) {
	h, body, err := readHeader(name, data)
	if err != nil {
		return nil, err
	}
	f := &File{Metadata: h.metadata, tensors: make(map[string]tensor.Tensor, len(h.entries))}
	sort.SliceStable(h.entries, func(i, k int) bool {
		a, b := h.entries[i], h.entries[k]
		if a.begin != b.begin {
			return a.begin < b.begin
		}
		return a.end < b.end // empty tensors before the one that begins at the same place
	})
	end := uint64(0)
	for _, e := range h.entries {
		t, err := e.tensor(name, body, end)
		if err != nil {
			return nil, err
		}
		f.tensors[e.name] = t
		f.names = append(f.names, e.name)
		end = e.end
	}
	if end != uint64(len(body)) {
		return nil, &Error{
			File: name, What: fmt.Sprintf("the tensors take %d bytes, the file has %d after the header", end, len(body)),
			Cure: cureDamaged,
		}
	}
	return f, nil
}

// tensor checks the entry against the data section, where the previous tensor ended at prev.
func (e *entry) tensor(file string, body []byte, prev uint64) (tensor.Tensor, error) {
	bad := func(format string, args ...any) (tensor.Tensor, error) {
		return tensor.Tensor{}, &Error{File: file, Tensor: e.name, What: fmt.Sprintf(format, args...), Cure: cureDamaged}
	}
	dt, ok := dtypes[e.dtype]
	if !ok {
		return tensor.Tensor{}, &Error{
			File: file, Tensor: e.name, What: fmt.Sprintf("element type %q is not supported", e.dtype),
			Cure: "convert the file to F32, F16 or BF16",
		}
	}
	need, err := tensor.Bytes(dt, e.shape)
	if err != nil {
		return bad("%v", err)
	}
	switch {
	case e.begin > e.end || e.end > uint64(len(body)):
		return bad("lies at bytes %d to %d of %d", e.begin, e.end, len(body))
	case e.begin < prev:
		return bad("begins at byte %d, within the tensor before it (which ends at %d)", e.begin, prev)
	case e.begin > prev:
		return bad("begins at byte %d, leaving a hole after byte %d", e.begin, prev)
	case e.end-e.begin != uint64(need):
		return bad("%s of shape %v needs %d bytes, the header gives it %d", e.dtype, e.shape, need, e.end-e.begin)
	}
	data := body[e.begin:e.end:e.end]
	if dt == tensor.Bool {
		for i, b := range data {
			if b > 1 {
				return bad("element %d of a bool tensor is %d", i, b)
			}
		}
	}
	return tensor.Tensor{DType: dt, Shape: e.shape, Data: data}, nil
}

// Names lists the tensors in the order of their data. The caller may keep the slice.
func (f *File) Names() []string { return append([]string(nil), f.names...) }

// Tensor returns the tensor called name. Its data alias the file: read-only, valid until Close.
func (f *File) Tensor(name string) (tensor.Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Release hands the memory behind the tensors back to the system; they stay readable, from the file.
func (f *File) Release() {
	if f.mapped != nil {
		mmap.Release(f.mapped.Bytes())
	}
}

// Close unmaps the file. Its tensors must not be used afterwards.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Close()
}
