package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// outcome says how a case went on an executor: it passes, or is refused before it runs, or else is wrong.
type outcome struct {
	*testCase
	passed  bool
	fixed   bool  // passed only with inputs that were known when the graph was compiled
	refused error // *graph.UnsupportedError, or the reader's ErrUnsupported
	wrong   error
}

// passedFixed is the reason of a case that passed with inputs known to the compiler only.
const passedFixed = "passed with constant inputs"

// reason says in one line why a case did not pass; it is empty for one that did, see passedFixed.
func (o *outcome) reason() string {
	var u *graph.UnsupportedError
	var f *onnx.FileError
	switch {
	case o.fixed && o.passed:
		return passedFixed
	case o.wrong != nil:
		return o.wrong.Error()
	case errors.As(o.refused, &u):
		why := u.Why
		if u.Attr != "" {
			why = "attribute " + u.Attr + ": " + why
		}
		if u.Op != o.Op {
			why = u.Op + ": " + why
		}
		return why
	case errors.As(o.refused, &f):
		return "the reader refuses " + f.What
	}
	return ""
}

// brief says in one word what happened to a case that did not pass.
func (o *outcome) brief() string {
	switch {
	case o.wrong != nil:
		return "differs"
	case !o.passed:
		return "refused"
	}
	return ""
}

// binding says which graph inputs a compilation knows the contents of.
type binding struct {
	name  string
	known func(i int) bool
}

// bindings are tried in order; each that compiles must give the right values. Operators whose result has a shape that
// depends on contents (Reshape, NonZero) need the later ones on the embedded executor. Weights are packed in the second,
// and in the third the compiler evaluates the graph.
var bindings = []binding{
	{"computed", func(int) bool { return false }},
	{"weights", func(i int) bool { return i > 0 }},
	{"folded", func(int) bool { return true }},
}

// run takes a case through an executor with every binding.
func (c *testCase) run(e graph.Executor) outcome {
	out := outcome{testCase: c}
	for i, b := range bindings {
		if i > 0 && e.Name() != embedded {
			break
		}
		err := c.runBound(e, b)
		switch {
		case err == nil:
			out.fixed = out.fixed || !out.passed && i > 0
			out.passed, out.refused = true, nil
		case isRefusal(err):
			if !out.passed {
				out.refused = err
			}
		default:
			out.passed, out.refused, out.wrong = false, nil, fmt.Errorf("%s: %w", b.name, err)
			return out
		}
	}
	return out
}

func isRefusal(err error) bool {
	var u *graph.UnsupportedError
	return errors.As(err, &u) || errors.Is(err, onnx.ErrUnsupported)
}

// runBound runs every data set of a case; the error is a refusal when the model is not read or does not compile.
func (c *testCase) runBound(e graph.Executor, b binding) error {
	if len(c.sets) == 0 {
		return errors.New("the case has no data")
	}
	for _, set := range c.sets {
		m, err := onnx.Parse(c.Name+".onnx", c.model, nil)
		if err != nil {
			return err
		}
		if err := c.runSet(e, m.Graph, set, b); err != nil {
			return err
		}
	}
	return nil
}

func (c *testCase) runSet(e graph.Executor, g *graph.Graph, set dataSet, b binding) error {
	types, feeds := c.bind(g, set.in, b)
	r, err := e.Compile(g, types)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := r.Run(context.Background(), feeds)
	if err != nil {
		return &ranError{err}
	}
	if len(set.out) != len(g.Outputs) {
		return fmt.Errorf("%d expected values for %d outputs", len(set.out), len(g.Outputs))
	}
	for i, id := range g.Outputs {
		if err := c.check(g.Value(id).Name, got, set.out[i]); err != nil {
			return err
		}
	}
	return nil
}

// check compares the output of a name, or the elements of a sequence, with what is expected.
func (c *testCase) check(name string, got map[string]tensor.Tensor, want datum) error {
	switch {
	case !want.present:
		return nil
	case want.list:
		for i, item := range want.items {
			if err := c.check(graph.Element(name, i), got, item); err != nil {
				return err
			}
		}
		if more := graph.Element(name, len(want.items)); got[more].DType != tensor.Invalid {
			return fmt.Errorf("output %s: got %v, want %d elements", more, got[more], len(want.items))
		}
		return nil
	case want.tensor.DType == tensor.Invalid:
		return fmt.Errorf("output %s: got %v, want a value of type %s", name, got[name], want.typ)
	}
	if err := c.compare(got[name], want.tensor); err != nil {
		return fmt.Errorf("output %s: %w", name, err)
	}
	return nil
}

// ranError hides the type of an error that Run returned: a refusal there comes too late.
type ranError struct{ err error }

func (e *ranError) Error() string { return "compiled, and failed when run: " + e.err.Error() }

// bind makes the known inputs that are tensors constants of the graph and returns types and values of the others.
func (c *testCase) bind(g *graph.Graph, in []datum, b binding) (map[string]graph.Type, map[string]tensor.Tensor) {
	types, feeds := map[string]graph.Type{}, map[string]tensor.Tensor{}
	for _, id := range g.Inputs {
		v := g.Value(id)
		i := slices.Index(c.Inputs, v.Name)
		if i < 0 || i >= len(in) || !in[i].present {
			continue
		}
		if in[i].list {
			for k, item := range in[i].items {
				name := graph.Element(v.Name, k)
				types[name], feeds[name] = graph.Type{DType: item.tensor.DType, Shape: item.tensor.Shape}, item.tensor
			}
			continue
		}
		t := in[i].tensor
		if t.DType != tensor.Invalid && b.known(i) && v.Container == graph.NoContainer {
			v.Const = &t
			continue
		}
		types[v.Name], feeds[v.Name] = graph.Type{DType: t.DType, Shape: t.Shape}, t
	}
	return types, feeds
}
