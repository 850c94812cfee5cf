package graph

import (
	"fmt"
	"slices"
	"strings"

	"winnow/internal/tensor"
)

// bindInputs checks the caller's types against the declared ones and enters the inputs.
func (s *specializer) bindInputs(sc *scope, given map[string]Type) error {
	symbols := map[string]boundSym{}
	known := map[string]bool{}
	for _, id := range sc.g.Inputs {
		v := sc.g.Value(id)
		if v.Container != NoContainer {
			continue
		}
		known[v.Name] = true
		typ, ok := given[v.Name]
		if !ok {
			if v.Const != nil { // an initializer that old files also list as an input
				continue
			}
			return s.inputError(v.Name, "missing: the graph declares %v%s", v.DType, dimsString(v.Dims))
		}
		var err error
		if sc.ids[id], err = s.bindTensor(sc, id, v, typ, symbols); err != nil {
			return err
		}
	}
	for _, id := range sc.g.Inputs { // after all others, whose names go first
		if sc.g.Value(id).Container != NoContainer {
			if err := s.bindContainer(sc, id, given, known); err != nil {
				return err
			}
		}
	}
	for name := range given {
		if !known[name] {
			return s.inputError(name, "the graph has no such input; it has %s", inputNames(sc.g))
		}
	}
	return nil
}

// bindTensor checks one tensor and enters it; id is the input that it belongs to.
func (s *specializer) bindTensor(sc *scope, id ValueID, v *Value, typ Type, symbols map[string]boundSym) (ValueID, error) {
	if err := s.checkInput(v, &typ, symbols); err != nil {
		return None, err
	}
	if typ.DType != tensor.String && typ.DType.Size() == 0 {
		return None, s.refuseInput(sc.g, id, typ.DType)
	}
	bound := s.addValue(irValue{name: v.Name, typ: typ, input: len(s.inputs)})
	s.inputs = append(s.inputs, irPort{name: v.Name, value: bound})
	return bound, nil
}

// boundSym remembers which input fixed a symbolic dimension.
type boundSym struct {
	size  int
	input string
}

// checkInput compares one given type with its declaration and completes it.
func (s *specializer) checkInput(v *Value, typ *Type, symbols map[string]boundSym) error {
	if typ.DType == tensor.Invalid || storage(v.DType) == typ.DType {
		typ.DType = v.DType
	}
	if v.DType != tensor.Invalid && typ.DType != v.DType {
		return s.inputError(v.Name, "given as %v, declared as %v", typ.DType, v.DType)
	}
	var err error
	switch {
	case typ.DType == tensor.String:
		_, err = tensor.Elems(typ.Shape)
	case typ.DType.Size() == 0:
		return nil // refuseInput says so
	default:
		_, err = tensor.Bytes(typ.Storage(), typ.Shape)
	}
	if err != nil {
		return s.inputError(v.Name, "%v", err)
	}
	typ.Shape = slices.Clone(typ.Shape)
	if v.Dims == nil {
		return nil
	}
	if len(v.Dims) != len(typ.Shape) {
		return s.inputError(v.Name, "given with shape %s, declared as %s", shapeString(typ.Shape), dimsString(v.Dims))
	}
	for i, d := range v.Dims {
		if d.Size >= 0 && d.Size != typ.Shape[i] {
			return s.inputError(v.Name, "given with shape %s, declared as %s", shapeString(typ.Shape), dimsString(v.Dims))
		}
		if d.Size >= 0 || d.Sym == "" {
			continue
		}
		if b, ok := symbols[d.Sym]; ok && b.size != typ.Shape[i] {
			return s.inputError(v.Name, "dimension %d (%q) is %d, but input %q fixes %q to %d",
				i, d.Sym, typ.Shape[i], b.input, d.Sym, b.size)
		}
		symbols[d.Sym] = boundSym{typ.Shape[i], v.Name}
	}
	return nil
}

// refuseInput names the node that would have to read an input of a type that the program cannot hold.
func (s *specializer) refuseInput(g *Graph, id ValueID, dt tensor.DType) error {
	for i := range g.Nodes {
		if slices.Contains(g.Nodes[i].Inputs, id) {
			return unsupported(s.src, &g.Nodes[i], "", fmt.Sprintf("values of type %v", dt))
		}
	}
	return s.inputError(g.Value(id).Name, "element type %v cannot be run", dt)
}

func (s *specializer) inputError(name, format string, args ...any) error {
	return &ShapeError{Source: s.src.Source, Input: fmt.Sprintf("%q", name), Why: fmt.Sprintf(format, args...)}
}

func inputNames(g *Graph) string {
	names := make([]string, len(g.Inputs))
	for i, id := range g.Inputs {
		names[i] = g.Value(id).Name
		if c := g.Value(id).Container; c == Sequence || c == OptionalSequence {
			names[i] += "[…]"
		}
	}
	return strings.Join(names, ", ")
}

// dimsString prints declared dimensions as "[batch,4,64,64]".
func dimsString(dims []Dim) string {
	if dims == nil {
		return " of any shape"
	}
	parts := make([]string, len(dims))
	for i, d := range dims {
		parts[i] = d.String()
	}
	return "[" + strings.Join(parts, ",") + "]"
}
