package onnx

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported is wrapped by errors about legal ONNX that this package does not read: sparse tensors, maps,
// 4-bit and 8-bit float weights.
var ErrUnsupported = errors.New("not supported")

// FileError reports what is wrong with a model file, where, and what to do about it.
type FileError struct {
	File   string // the ONNX file, or the external data file at fault
	Offset int64  // byte position in File where the trouble lies; -1 if it is not about a position
	Where  string // the node, tensor or value concerned, as `node "conv" (Conv)` or `tensor "w"`; may be empty
	What   string // the cause
	Cure   string // what the user can do; may be empty
	Err    error  // underlying error, ErrUnsupported or nil
}

// Error implements error: file, position, cause, cure.
func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, ": byte %d", e.Offset)
	}
	if e.Where != "" {
		b.WriteString(": " + e.Where)
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
func (e *FileError) Unwrap() error { return e.Err }

const (
	cureTruncated = "the file is damaged or incomplete: copy or download it again"
	cureExport    = "export the model again"
)

// quote shortens hostile names for messages.
func quote(name string) string {
	const limit = 120
	if len(name) > limit {
		name = name[:limit] + "…"
	}
	return fmt.Sprintf("%q", name)
}
