package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
)

// value reads a ValueInfoProto.
func (s *scanner) value(f field, into *[]protoValue) error {
	v := protoValue{tensor: true, at: f.at}
	err := f.sub(func(p span) error {
		return s.each(p, "ValueInfoProto", func(f field) error {
			switch f.num {
			case 1:
				return f.str(&v.name)
			case 2:
				return f.sub(func(p span) error { return s.typ(p, &v) })
			}
			return nil
		})
	})
	*into = append(*into, v)
	return err
}

// typ reads a TypeProto: field 1 is a dense tensor, fields 4 and 9 are a sequence and an optional, the other message fields
// are types that no network here uses.
func (s *scanner) typ(p span, v *protoValue) error {
	return s.each(p, "TypeProto", func(f field) error {
		switch f.num {
		case 1:
			return f.sub(func(p span) error { return s.tensorType(p, v) })
		case 4, 9:
			if v.wrap(f.num == 9); v.tensor {
				return f.sub(func(p span) error { return s.element(p, v) })
			}
		case 5, 7, 8:
			v.tensor = false
		}
		return nil
	})
}

// element reads a TypeProto.Sequence or TypeProto.Optional.
func (s *scanner) element(p span, v *protoValue) error {
	return s.each(p, "TypeProto.elem_type", func(f field) error {
		if f.num != 1 {
			return nil
		}
		return f.sub(func(p span) error { return s.typ(p, v) })
	})
}

// wrap notes a container; of containers in containers only an optional sequence is read.
func (v *protoValue) wrap(optional bool) {
	switch {
	case v.container == graph.NoContainer && optional:
		v.container = graph.Optional
	case v.container == graph.NoContainer:
		v.container = graph.Sequence
	case v.container == graph.Optional && !optional:
		v.container = graph.OptionalSequence
	default:
		v.tensor = false
	}
}

func (s *scanner) tensorType(p span, v *protoValue) error {
	return s.each(p, "TypeProto.Tensor", func(f field) error {
		switch f.num {
		case 1:
			v.elem = int32(min(f.u, math.MaxInt32))
			return f.want(protowire.VarintType)
		case 2:
			v.hasShape, v.dims = true, []graph.Dim{}
			return f.sub(func(p span) error {
				return s.each(p, "TensorShapeProto", func(f field) error {
					if f.num != 1 {
						return nil
					}
					return s.dim(f, &v.dims)
				})
			})
		}
		return nil
	})
}

// dim reads a TensorShapeProto.Dimension. A negative size is some exporters' way to say "unknown".
func (s *scanner) dim(f field, into *[]graph.Dim) error {
	size, d := int64(-1), graph.Dim{Size: -1}
	err := f.sub(func(p span) error {
		return s.each(p, "TensorShapeProto.Dimension", func(f field) error {
			switch f.num {
			case 1:
				return f.int(&size)
			case 2:
				return f.str(&d.Sym)
			}
			return nil
		})
	})
	if size >= 0 {
		if int64(int(size)) != size {
			return s.bad(f.at, "a dimension of %d", size)
		}
		d = graph.Dim{Size: int(size)}
	}
	*into = append(*into, d)
	return err
}

// moduleOf finds the module path in the list of scopes that PyTorch's dynamo exporter writes, a Python list of strings
// such as [”, 'down_blocks.0', 'down_blocks.0.conv1', 'conv2d_3']. The last entry is the operation, the one before it
// the module. It returns "" if the text is no such list.
func moduleOf(list string) string {
	var entries []string
	for i := 0; i < len(list); i++ {
		q := list[i]
		if q != '\'' && q != '"' {
			continue
		}
		var entry []byte
		for i++; i < len(list) && list[i] != q; i++ {
			if list[i] == '\\' && i+1 < len(list) {
				i++
			}
			entry = append(entry, list[i])
		}
		entries = append(entries, string(entry))
	}
	if len(entries) < 2 {
		return ""
	}
	return entries[len(entries)-2]
}
