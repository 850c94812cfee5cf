package onnx

import (
	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
)

// Limits of the structure, far above what real models need (an SDXL U-Net has some 10,000 nodes). They bound what a
// small hostile file can make the reader allocate.
const (
	maxNodes = 1 << 18 // nodes of a model, subgraphs and inlined functions included
	maxDepth = 32      // nesting of subgraphs and of function calls

	maxExpansion = 1 << 27 // bytes spent on copies of function bodies; an inlined node takes about a thousand
)

// scopesKey is the metadata of a node under which PyTorch's dynamo exporter keeps the modules around it.
const scopesKey = "pkg.torch.onnx.name_scopes"

// scanner walks the messages of one file.
type scanner struct {
	*source
	nodes int // seen so far
}

func (s *scanner) model() (*protoModel, error) {
	m := &protoModel{opsets: map[string]int{}, metadata: map[string]string{}, functions: map[functionKey]*protoFunction{}}
	err := s.each(span{0, len(s.data)}, "ModelProto", func(f field) error {
		switch f.num {
		case 1:
			return f.int(&m.irVersion)
		case 2:
			return f.str(&m.producer)
		case 3:
			return f.str(&m.producerVersion)
		case 4:
			return f.str(&m.domain)
		case 5:
			return f.int(&m.version)
		case 7:
			return s.modelGraph(f, m)
		case 8:
			return s.opset(f, m.opsets)
		case 14:
			return s.entry(f, m.metadata)
		case 25:
			return s.function(f, m)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.graph == nil {
		return nil, &FileError{
			File: s.name, Offset: -1, What: "holds no graph",
			Cure: "check that this is an ONNX model and that it is complete",
		}
	}
	return m, nil
}

func (s *scanner) modelGraph(f field, m *protoModel) (err error) {
	if m.graph != nil {
		return s.bad(f.at, "ModelProto: a second graph")
	}
	return f.sub(func(p span) error {
		m.graph, err = s.graph(p, 0)
		return err
	})
}

// opset reads an OperatorSetIdProto.
func (s *scanner) opset(f field, into map[string]int) error {
	var domain string
	var version int64
	err := f.sub(func(p span) error {
		return s.each(p, "OperatorSetIdProto", func(f field) error {
			switch f.num {
			case 1:
				return f.str(&domain)
			case 2:
				return f.int(&version)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	domain = canonical(domain)
	if version < 1 || version > 1<<20 {
		return s.bad(f.at, "operator set version %d of domain %s is out of range", version, quote(domain))
	}
	if old, ok := into[domain]; ok && old != int(version) {
		return s.bad(f.at, "domain %s is imported in versions %d and %d", quote(domain), old, version)
	}
	into[domain] = int(version)
	return nil
}

// entry reads a StringStringEntryProto.
func (s *scanner) entry(f field, into map[string]string) error {
	var key, value string
	err := f.sub(func(p span) error {
		return s.each(p, "StringStringEntryProto", func(f field) error {
			switch f.num {
			case 1:
				return f.str(&key)
			case 2:
				return f.raw(&value)
			}
			return nil
		})
	})
	into[key] = value
	return err
}

func (s *scanner) graph(p span, depth int) (*protoGraph, error) {
	if depth > maxDepth {
		return nil, s.bad(p.lo, "subgraphs nest deeper than %d", maxDepth)
	}
	g := &protoGraph{position: p.lo}
	err := s.each(p, "GraphProto", func(f field) error {
		switch f.num {
		case 1:
			return s.node(f, &g.nodes, depth)
		case 2:
			return f.str(&g.name)
		case 5:
			return f.sub(func(p span) error {
				t, err := s.tensor(p)
				g.tensors = append(g.tensors, t)
				return err
			})
		case 11:
			return s.value(f, &g.inputs)
		case 12:
			return s.value(f, &g.outputs)
		case 13:
			return s.value(f, &g.infos)
		case 15:
			return &FileError{
				File: s.name, Offset: int64(f.at), What: "a sparse initializer", Err: ErrUnsupported,
				Cure: "convert it to a dense tensor",
			}
		}
		return nil
	})
	return g, err
}

func (s *scanner) node(f field, into *[]*protoNode, depth int) error {
	if s.nodes++; s.nodes > maxNodes {
		return s.bad(f.at, "more than %d nodes", maxNodes)
	}
	n := &protoNode{index: len(*into), at: f.at}
	*into = append(*into, n)
	return f.sub(func(p span) error {
		var meta map[string]string
		err := s.each(p, "NodeProto", func(f field) error {
			switch f.num {
			case 1:
				return f.strs(&n.inputs)
			case 2:
				return f.strs(&n.outputs)
			case 3:
				return f.str(&n.name)
			case 4:
				return f.str(&n.op)
			case 5:
				return s.attr(f, &n.attrs, depth)
			case 7:
				return f.str(&n.domain)
			case 8:
				return f.str(&n.overload)
			case 9:
				if meta == nil {
					meta = map[string]string{}
				}
				return s.entry(f, meta)
			}
			return nil
		})
		if err == nil && (n.op == "" || len(n.outputs) == 0) {
			err = s.bad(f.at, "%s lacks its operator or its outputs", n.label())
		}
		n.domain = canonical(n.domain)
		n.scope = moduleOf(meta[scopesKey])
		return err
	})
}

// attrTypes maps AttributeProto.AttributeType to our kinds; the others are refused.
var attrTypes = map[int64]graph.AttrKind{
	1: graph.AttrFloat, 2: graph.AttrInt, 3: graph.AttrString, 4: graph.AttrTensor, 5: graph.AttrGraph,
	6: graph.AttrFloats, 7: graph.AttrInts, 8: graph.AttrStrings, 13: graph.AttrType,
}

// attrFields maps the field numbers of AttributeProto to the kind that the field's presence implies: files of the first
// IR version do not say the type.
var attrFields = map[protowire.Number]graph.AttrKind{
	2: graph.AttrFloat, 3: graph.AttrInt, 4: graph.AttrString, 5: graph.AttrTensor, 6: graph.AttrGraph,
	7: graph.AttrFloats, 8: graph.AttrInts, 9: graph.AttrStrings, 14: graph.AttrType,
}

func (s *scanner) attr(f field, into *[]protoAttr, depth int) error {
	a := protoAttr{at: f.at}
	var typ int64
	var other bool // a field of a kind that we do not read
	err := f.sub(func(p span) error {
		return s.each(p, "AttributeProto", func(f field) error {
			if k, ok := attrFields[f.num]; ok {
				a.kind = k
			}
			switch f.num {
			case 1:
				return f.str(&a.name)
			case 20:
				return f.int(&typ)
			case 21:
				return f.str(&a.ref)
			case 10, 11, 15, 22, 23:
				other = true
				return nil
			}
			return s.attrValue(f, &a, depth)
		})
	})
	if err != nil {
		return err
	}
	if k, ok := attrTypes[typ]; ok {
		a.kind = k
		other = false
	}
	if a.kind == graph.AttrType && a.typ != nil && !a.typ.readable() || other || typ != 0 && attrTypes[typ] == graph.AttrNone {
		return &FileError{
			File: s.name, Offset: int64(f.at), Where: "attribute " + quote(a.name),
			What: "a list of tensors or graphs, a sparse tensor or a type of no common tensors", Err: ErrUnsupported, Cure: cureExport,
		}
	}
	if a.ref == "" && (a.kind == graph.AttrTensor && a.tensor == nil || a.kind == graph.AttrGraph && a.graph == nil ||
		a.kind == graph.AttrType && a.typ == nil) {
		return s.bad(f.at, "attribute %s of type %v has no value", quote(a.name), a.kind)
	}
	if a.ref == "" && a.kind == graph.AttrNone {
		return s.bad(f.at, "attribute %s has neither type nor value", quote(a.name))
	}
	*into = append(*into, a)
	return nil
}

func (s *scanner) attrValue(f field, a *protoAttr, depth int) error {
	switch f.num {
	case 2:
		return f.float(&a.f)
	case 3:
		return f.int(&a.i)
	case 4:
		return f.raw(&a.s)
	case 5:
		return f.sub(func(p span) (err error) {
			a.tensor, err = s.tensor(p)
			return err
		})
	case 6:
		return f.sub(func(p span) (err error) {
			a.graph, err = s.graph(p, depth+1)
			return err
		})
	case 7:
		return f.floats(&a.floats)
	case 8:
		return f.ints(&a.ints)
	case 9:
		var v string
		err := f.raw(&v)
		a.strings = append(a.strings, v)
		return err
	case 14:
		a.typ = &protoValue{tensor: true, at: f.at}
		return f.sub(func(p span) error { return s.typ(p, a.typ) })
	}
	return nil
}

func (s *scanner) function(f field, m *protoModel) error {
	fn := &protoFunction{at: f.at, opsets: map[string]int{}}
	err := f.sub(func(p span) error {
		return s.each(p, "FunctionProto", func(f field) error {
			switch f.num {
			case 1:
				return f.str(&fn.key.name)
			case 4:
				return f.strs(&fn.inputs)
			case 5:
				return f.strs(&fn.outputs)
			case 6:
				return f.strs(&fn.attrs)
			case 7:
				return s.node(f, &fn.nodes, 0)
			case 9:
				return s.opset(f, fn.opsets)
			case 10:
				return f.str(&fn.key.domain)
			case 11:
				return s.attr(f, &fn.defaults, 0)
			case 13:
				return f.str(&fn.key.overload)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	fn.key.domain = canonical(fn.key.domain)
	if _, ok := m.functions[fn.key]; ok {
		return s.bad(f.at, "%s is defined twice", fn.label())
	}
	m.functions[fn.key] = fn
	return nil
}
