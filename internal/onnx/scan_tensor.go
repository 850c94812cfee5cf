package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// protoTensor is a TensorProto whose numbers are still in the file.
type protoTensor struct {
	name     string
	dims     []int64
	elem     int32
	raw      span
	hasRaw   bool
	typed    []span           // parts of the typed data field, in order
	field    protowire.Number // that field
	external map[string]string
	location int64 // 1: external
	at       int
}

// typedFields names the fields of TensorProto that hold numbers one by one, with the wire type of one number.
var typedFields = map[protowire.Number]struct {
	name string
	wire protowire.Type
}{
	4:  {"float_data", protowire.Fixed32Type},
	5:  {"int32_data", protowire.VarintType},
	6:  {"string_data", protowire.BytesType},
	7:  {"int64_data", protowire.VarintType},
	10: {"double_data", protowire.Fixed64Type},
	11: {"uint64_data", protowire.VarintType},
}

func (s *scanner) tensor(p span) (*protoTensor, error) {
	t := &protoTensor{at: p.lo}
	err := s.each(p, "TensorProto", func(f field) error {
		switch f.num {
		case 1:
			return f.ints(&t.dims)
		case 2:
			var v int64
			err := f.int(&v)
			t.elem = int32(max(min(v, 1<<30), -1))
			return err
		case 3:
			return &FileError{
				File: s.name, Offset: int64(f.at), Where: "tensor " + quote(t.name), What: "is stored in segments",
				Err: ErrUnsupported, Cure: cureExport,
			}
		case 8:
			return f.str(&t.name)
		case 9:
			t.raw, t.hasRaw = f.val, true
			return f.want(protowire.BytesType)
		case 13:
			if t.external == nil {
				t.external = map[string]string{}
			}
			return s.entry(f, t.external)
		case 14:
			return f.int(&t.location)
		}
		return s.typedData(f, t)
	})
	return t, err
}

// typedData notes where the numbers of a typed data field are. The field may come in several parts, packed or not.
func (s *scanner) typedData(f field, t *protoTensor) error {
	want, ok := typedFields[f.num]
	if !ok {
		return nil
	}
	if f.typ != want.wire && f.typ != protowire.BytesType {
		return f.want(want.wire)
	}
	if len(t.typed) > 0 && t.field != f.num {
		return s.bad(f.at, "TensorProto: both %s and %s", typedFields[t.field].name, want.name)
	}
	t.field, t.typed = f.num, append(t.typed, f.val)
	return nil
}
