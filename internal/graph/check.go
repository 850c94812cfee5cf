package graph

import (
	"errors"

	"winnow/internal/tensor"
)

// Check completes the types of the inputs as Compile does and infers those of all other values, without compiling. It is
// for executors that leave the operators to another library: a *ShapeError means that the graph does not fit together,
// whoever runs it. An operator that only this package refuses is no error; what depends on its results is not checked.
// veto, unless nil, is asked about every node of the file whose operands' types are known (Out is not set), and its error ends the check: with it an executor
// refuses what its library would only refuse in a run.
func Check(g *Graph, inputs map[string]Type, veto func(c *NodeCtx) error) (map[string]Type, error) {
	s := newSpecializer(g, (*Options)(nil).complete())
	s.veto = veto
	root := newScope(g, nil)
	if err := s.bindInputs(root, inputs); err != nil {
		return nil, err
	}
	for _, id := range g.Inputs {
		if root.ids[id] != None && s.val(root.ids[id]).typ.DType == tensor.String {
			return nil, s.refuseInput(g, id, tensor.String) // strings are ours alone
		}
	}
	var unsupported *UnsupportedError
	if err := s.walk(root); s.vetoed != nil || err != nil && !errors.As(err, &unsupported) {
		return nil, err
	}
	bound := make(map[string]Type, len(s.inputs))
	for _, p := range s.inputs {
		bound[p.name] = s.val(p.value).typ
	}
	return bound, nil
}
