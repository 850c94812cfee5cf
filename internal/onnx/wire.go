package onnx

import (
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// span is a range of bytes of the scanned file.
type span struct{ lo, hi int }

// source is the file under the scan.
type source struct {
	name string
	data []byte
}

func (s *source) bytes(p span) []byte { return s.data[p.lo:p.hi:p.hi] }

// bad reports malformed protobuf at a position.
func (s *source) bad(at int, format string, args ...any) error {
	return &FileError{File: s.name, Offset: int64(at), What: fmt.Sprintf(format, args...), Cure: cureTruncated}
}

// field is one field of a protobuf message.
type field struct {
	src *source
	msg string // message type, for messages
	num protowire.Number
	typ protowire.Type
	u   uint64 // value of a varint, fixed32 or fixed64
	val span   // the value's bytes; of a length-delimited field without its length
	at  int    // position of the tag
}

// each calls visit for the fields of the message of type msg in p, in order.
func (s *source) each(p span, msg string, visit func(f field) error) error {
	for pos := p.lo; pos < p.hi; {
		f, next, err := s.next(pos, p.hi, msg)
		if err != nil {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
		pos = next
	}
	return nil
}

// next decodes the field at pos of a message that ends at end.
func (s *source) next(pos, end int, msg string) (f field, next int, err error) {
	num, typ, n := protowire.ConsumeTag(s.data[pos:end])
	if n < 0 {
		return f, 0, s.bad(pos, "%s: no field where one should begin (%v)", msg, protowire.ParseError(n))
	}
	f = field{src: s, msg: msg, num: num, typ: typ, at: pos}
	lo := pos + n
	rest := s.data[lo:end]
	switch typ {
	case protowire.VarintType:
		f.u, n = protowire.ConsumeVarint(rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(rest)
		f.u = uint64(v)
	case protowire.Fixed64Type:
		f.u, n = protowire.ConsumeFixed64(rest)
	case protowire.BytesType:
		var size uint64
		size, n = protowire.ConsumeVarint(rest)
		if n >= 0 {
			lo += n
			if size > uint64(end-lo) {
				return f, 0, s.bad(pos, "%s: field %d has %d bytes, but only %d remain", msg, num, size, end-lo)
			}
			n = int(size)
		}
	default:
		n = protowire.ConsumeFieldValue(num, typ, rest)
	}
	if n < 0 {
		return f, 0, s.bad(pos, "%s: field %d is cut off or malformed (%v)", msg, num, protowire.ParseError(n))
	}
	f.val = span{lo, lo + n}
	return f, lo + n, nil
}

// want checks the wire type.
func (f field) want(typ protowire.Type) error {
	if f.typ != typ {
		return f.src.bad(f.at, "%s: field %d has wire type %d, want %d", f.msg, f.num, f.typ, typ)
	}
	return nil
}

// str stores a text field.
func (f field) str(dst *string) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	b := f.src.bytes(f.val)
	if !utf8.Valid(b) {
		return f.src.bad(f.at, "%s: field %d is no UTF-8 text", f.msg, f.num)
	}
	*dst = string(b)
	return nil
}

// strs appends a repeated text field.
func (f field) strs(dst *[]string) error {
	var s string
	if err := f.str(&s); err != nil {
		return err
	}
	*dst = append(*dst, s)
	return nil
}

// raw stores a bytes field as a string.
func (f field) raw(dst *string) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	*dst = string(f.src.bytes(f.val))
	return nil
}

// int stores an integer field.
func (f field) int(dst *int64) error {
	*dst = int64(f.u)
	return f.want(protowire.VarintType)
}

// float stores a float field.
func (f field) float(dst *float32) error {
	*dst = math.Float32frombits(uint32(f.u))
	return f.want(protowire.Fixed32Type)
}

// ints appends a repeated integer field, packed or not.
func (f field) ints(dst *[]int64) error {
	if f.typ == protowire.VarintType {
		*dst = append(*dst, int64(f.u))
		return nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	for b := f.src.bytes(f.val); len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return f.src.bad(f.at, "%s: field %d ends within a number", f.msg, f.num)
		}
		*dst = append(*dst, int64(v))
		b = b[n:]
	}
	return nil
}

// floats appends a repeated float field, packed or not.
func (f field) floats(dst *[]float32) error {
	if f.typ == protowire.Fixed32Type {
		*dst = append(*dst, math.Float32frombits(uint32(f.u)))
		return nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	for b := f.src.bytes(f.val); len(b) > 0; {
		v, n := protowire.ConsumeFixed32(b)
		if n < 0 {
			return f.src.bad(f.at, "%s: field %d ends within a number", f.msg, f.num)
		}
		*dst = append(*dst, math.Float32frombits(v))
		b = b[n:]
	}
	return nil
}

// sub scans an embedded message.
func (f field) sub(scan func(p span) error) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	return scan(f.val)
}
