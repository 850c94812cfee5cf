package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// names are all that a pickle may call, by module and name; the value says what reduce does. numpy 1 and 2 differ in the
// module. Protocols up to 2 write bytes by _codecs.encode.
var names = map[string]global{
	"numpy.core.multiarray _reconstruct":  "array",
	"numpy._core.multiarray _reconstruct": "array",
	"numpy.core.multiarray scalar":        "scalar",
	"numpy._core.multiarray scalar":       "scalar",
	"numpy.core.numeric _frombuffer":      "frombuffer",
	"numpy._core.numeric _frombuffer":     "frombuffer",
	"numpy ndarray":                       "ndarray",
	"numpy dtype":                         "dtype",
	"_codecs encode":                      "encode",
	"__builtin__ bytes":                   "bytes",
	"builtins bytes":                      "bytes",
	"__builtin__ bytearray":               "bytes",
	"builtins bytearray":                  "bytes",
}

// dtype is numpy's type of an element: U (UCS-4 text), S (bytes), O (objects), or a number such as f4, i8, u1, b1.
type dtype struct {
	kind string
	size int // bytes
	big  bool
}

// ndarray is a numpy array in C order.
type ndarray struct {
	dtype
	shape []int
	raw   []byte
	items []any // of kind O
}

// maxRows bounds the elements of an array that become values.
const maxRows = 1 << 16

// object looks names up and runs what they stand for, see names.
func (u *unpickler) object(op byte) error {
	switch op {
	case opGlobal:
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		if err != nil {
			return err
		}
		return u.find(module, name)
	case opStackGlobal:
		v, err := u.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := v[0].(string)
		name, ok2 := v[1].(string)
		if !ok1 || !ok2 {
			return errors.New("a name is no text")
		}
		return u.find(module, name)
	}
	v, err := u.popN(2)
	if err != nil {
		return err
	}
	if op == opBuild {
		if err := build(v[0], v[1]); err != nil {
			return err
		}
		u.push(v[0])
		return nil
	}
	f, ok1 := v[0].(global)
	args, ok2 := v[1].(pyTuple)
	if !ok1 || !ok2 {
		return errors.New("it calls something that is no name")
	}
	made, err := reduce(f, args)
	if err != nil {
		return err
	}
	u.push(made)
	return nil
}

func (u *unpickler) find(module, name string) error {
	f, ok := names[module+" "+name]
	if !ok {
		const shown = 80
		full := module + "." + name
		return fmt.Errorf("it names %q, and only plain data and numpy arrays are read; nothing of it was run", full[:min(len(full), shown)])
	}
	u.push(f)
	return nil
}

func reduce(f global, args pyTuple) (any, error) {
	switch {
	case f == "array" && len(args) == 3 && args[0] == any(global("ndarray")):
		return &ndarray{}, nil
	case f == "dtype" && len(args) >= 1:
		return newDtype(args[0])
	case f == "scalar" && len(args) == 2:
		d, ok := args[0].(*dtype)
		raw, ok2 := args[1].([]byte)
		if ok && ok2 && len(raw) == d.size && d.size > 0 {
			return d.element(raw)
		}
	case f == "frombuffer" && len(args) == 4:
		a := &ndarray{}
		d, ok := args[1].(*dtype)
		raw, ok2 := args[0].([]byte)
		if ok && ok2 && args[3] == any("C") {
			return a, a.set(args[2], d, raw)
		}
	case f == "encode" && len(args) == 2 && args[1] == any("latin1"):
		if text, ok := args[0].(string); ok {
			return latin1(text)
		}
	case f == "bytes" && len(args) == 0:
		return []byte{}, nil
	case f == "bytes" && len(args) == 1:
		if b, ok := args[0].([]byte); ok {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%s is called in a way that numpy does not write", string(f))
}

func latin1(text string) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 255 {
			return nil, errors.New("bytes hold a character beyond 255")
		}
		out = append(out, byte(r))
	}
	return out, nil
}

func newDtype(v any) (*dtype, error) {
	name, ok := v.(string)
	if !ok || len(name) < 2 {
		return nil, errors.New("a dtype has no name")
	}
	n, err := strconv.Atoi(name[1:])
	if err != nil || n < 1 || n > 1<<20 {
		return nil, fmt.Errorf("the dtype %.20q is not read", name)
	}
	switch name[0] {
	case 'U':
		return &dtype{kind: "U", size: 4 * n}, nil
	case 'S':
		return &dtype{kind: "S", size: n}, nil
	case 'O':
		return &dtype{kind: "O", size: n}, nil
	}
	switch name {
	case "b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8":
		return &dtype{kind: name, size: n}, nil
	}
	return nil, fmt.Errorf("the dtype %.20q is not read", name)
}

// build fills an array or a dtype with the state that numpy writes.
func build(v, state any) error {
	t, ok := state.(pyTuple)
	switch v := v.(type) {
	case *dtype: // (3, "<", None, None, None, size, alignment, flags)
		if !ok || len(t) < 8 || t[2] != nil || t[3] != nil || t[4] != nil {
			return errors.New("a dtype with fields is not read")
		}
		switch t[1] {
		case any("<"), any("|"), any("="):
		case any(">"):
			v.big = true
		default:
			return errors.New("a dtype has no byte order")
		}
		return nil
	case *ndarray: // (1, shape, dtype, Fortran order, bytes or list)
		if !ok || len(t) != 5 {
			return errors.New("the state of an array is not as numpy writes it")
		}
		d, ok := t[2].(*dtype)
		if !ok {
			return errors.New("an array has no dtype")
		}
		if fortran, _ := t[3].(bool); fortran {
			return errors.New("an array is in Fortran order; send it through numpy.ascontiguousarray")
		}
		return v.set(t[1], d, t[4])
	}
	return fmt.Errorf("it sets the state of %s", describe(v))
}

// set checks that shape and content fit, before anything is made of them.
func (a *ndarray) set(shape any, d *dtype, content any) error {
	dims, ok := shape.(pyTuple)
	if !ok || len(dims) > 8 {
		return errors.New("an array has no shape")
	}
	a.dtype, a.shape, a.raw, a.items = *d, nil, nil, nil
	count := 1
	for _, dim := range dims {
		n, ok := dim.(int64)
		if !ok || n < 0 || n > 1<<31 || n > 0 && count > (1<<40)/int(n) {
			return errors.New("an array has an impossible shape")
		}
		count *= int(n)
		a.shape = append(a.shape, int(n))
	}
	if l, ok := content.(*pyList); ok && d.kind == "O" && len(l.items) == count {
		a.items = append([]any(nil), l.items...)
		return nil
	}
	raw, ok := content.([]byte)
	if !ok || d.kind == "O" || len(raw) != count*d.size {
		return fmt.Errorf("the content of an array does not fit its shape %v of %s", a.shape, d.kind)
	}
	a.raw = raw
	return nil
}

// rows are the elements along the first axis.
func (a *ndarray) rows() ([]any, bool) {
	if len(a.shape) == 0 || a.shape[0] > maxRows {
		return nil, false
	}
	n := a.shape[0]
	if a.kind == "O" {
		return a.items, len(a.shape) == 1
	}
	out := make([]any, n)
	if n == 0 {
		return out, true
	}
	step := len(a.raw) / n
	for i := range out {
		part := a.raw[i*step : (i+1)*step]
		if len(a.shape) > 1 {
			out[i] = &ndarray{dtype: a.dtype, shape: a.shape[1:], raw: part}
			continue
		}
		v, err := a.element(part)
		if err != nil {
			return nil, false
		}
		out[i] = v
	}
	return out, true
}

// element reads one element of d.size bytes.
func (d *dtype) element(raw []byte) (any, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if d.big {
		order = binary.BigEndian
	}
	switch d.kind {
	case "U":
		return ucs4(raw, order), nil
	case "S":
		return []byte(strings.TrimRight(string(raw), "\x00")), nil
	case "b1":
		return raw[0] != 0, nil
	case "u1":
		return int64(raw[0]), nil
	case "i1":
		return int64(int8(raw[0])), nil
	case "u2":
		return int64(order.Uint16(raw)), nil
	case "i2":
		return int64(int16(order.Uint16(raw))), nil
	case "u4":
		return int64(order.Uint32(raw)), nil
	case "i4":
		return int64(int32(order.Uint32(raw))), nil
	case "i8", "u8":
		return int64(order.Uint64(raw)), nil
	case "f4":
		return float64(math.Float32frombits(order.Uint32(raw))), nil
	case "f8":
		return math.Float64frombits(order.Uint64(raw)), nil
	}
	return nil, fmt.Errorf("elements of type %s are not read", d.kind)
}

// ucs4 reads text that is filled up with zeros.
func ucs4(raw []byte, order binary.ByteOrder) string {
	var b strings.Builder
	end := len(raw)
	for end >= 4 && order.Uint32(raw[end-4:]) == 0 {
		end -= 4
	}
	for i := 0; i+4 <= end; i += 4 {
		r := rune(order.Uint32(raw[i:]))
		if !utf8.ValidRune(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}
