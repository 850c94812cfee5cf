package ort

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// Names of executors, as --executor takes them.
const (
	Name     = "onnxruntime"
	Embedded = "embedded"
)

// Options say which ONNX Runtime runs and how. The zero value searches for the library and uses the CPU.
type Options struct {
	Library  string // file or folder; "" searches, see Load
	Provider string // one of ProviderNames; "" means CPU
	Threads  int    // of one operator; 0 lets ONNX Runtime choose
}

// Executor runs graphs in ONNX Runtime. It implements graph.Executor and is safe for concurrent use.
type Executor struct {
	lib       *Library
	opt       Options
	device    uintptr // OrtMemoryInfo
	maxInline int     // see onnx.WriteOptions
}

var _ graph.Executor = (*Executor)(nil)

// Parse splits the value of --executor: "embedded" and "" are the embedded executor, "onnxruntime" is ONNX Runtime on the
// CPU, and a provider may follow behind a colon.
func Parse(name string) (embedded bool, provider string, err error) {
	base, provider, colon := strings.Cut(name, ":")
	switch {
	case name == "" || name == Embedded:
		return true, "", nil
	case base != Name:
		return false, "", fmt.Errorf("there is no executor %q; known are %s", name, strings.Join(Names(), ", "))
	case !colon:
		return false, CPU, nil
	}
	if _, ok := providers[provider]; !ok {
		return false, "", fmt.Errorf("there is no provider %q of ONNX Runtime; known are %s", provider, strings.Join(ProviderNames(), ", "))
	}
	return false, provider, nil
}

// Names lists what --executor takes.
func Names() []string {
	names := []string{Embedded, Name}
	for _, p := range ProviderNames()[1:] {
		names = append(names, Name+":"+p)
	}
	return names
}

// Open returns the executor of a name; nil, without an error, is the embedded one.
func Open(ctx context.Context, name, library string, threads int) (graph.Executor, error) {
	embedded, provider, err := Parse(name)
	if err != nil || embedded {
		return nil, err
	}
	e, err := New(ctx, Options{Library: library, Provider: provider, Threads: threads})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// New loads the library and makes sure that it has the provider. Errors are *LibraryError and *ProviderError.
func New(ctx context.Context, opt Options) (*Executor, error) {
	if opt.Provider == "" {
		opt.Provider = CPU
	}
	p, ok := providers[opt.Provider]
	if !ok {
		return nil, fmt.Errorf("there is no provider %q of ONNX Runtime; known are %s", opt.Provider, strings.Join(ProviderNames(), ", "))
	}
	l, err := Load(ctx, opt.Library)
	if err != nil {
		return nil, err
	}
	if err := l.lacks(opt.Provider); err != nil {
		return nil, err
	}
	e := &Executor{lib: l, opt: opt, device: l.cpu}
	if p.device != "" {
		if e.device, err = l.memory(p.device); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Library is what the executor runs in.
func (e *Executor) Library() *Library { return e.lib }

// Name is "onnxruntime", with the provider when it is not the CPU.
func (e *Executor) Name() string {
	if e.opt.Provider == CPU {
		return Name
	}
	return Name + ":" + e.opt.Provider
}

// Compile makes a session for inputs of the given types. Types and shapes are inferred here first, so that a graph that
// does not fit together fails now, with the same *graph.ShapeError as under the embedded executor; operators are the
// library's business, and those that it lacks are a *graph.UnsupportedError. Its own operators that it has no kernels for
// on this provider are replaced by their definitions.
func (e *Executor) Compile(g *graph.Graph, inputs map[string]graph.Type) (graph.Runner, error) {
	bound, err := graph.Check(g, inputs, lateRefusals)
	if err != nil {
		return nil, err
	}
	if bordersOnContainers(g) { // what is specialised has their elements instead
		if g, err = graph.Expand(g, bound); err != nil {
			return nil, err
		}
	}
	p, err := e.compile(g, bound)
	if err == nil {
		return p, nil
	}
	var lacks *graph.UnsupportedError
	if !errors.As(err, &lacks) || !usesOwnOperators(g) {
		return nil, err
	}
	plain, expandErr := graph.Expand(g, bound)
	if expandErr != nil {
		return nil, err
	}
	return e.compile(plain, bound)
}

// bordersOnContainers reports whether inputs or outputs of a graph are sequences or optionals.
func bordersOnContainers(g *graph.Graph) bool {
	return slices.ContainsFunc(slices.Concat(g.Inputs, g.Outputs), func(id graph.ValueID) bool {
		return g.Value(id).Container != graph.NoContainer
	})
}

// usesOwnOperators reports whether a graph has operators that only ONNX Runtime knows.
func usesOwnOperators(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n graph.Node) bool { return n.Domain == graph.MicrosoftDomain })
}

func (e *Executor) compile(g *graph.Graph, bound map[string]graph.Type) (*program, error) {
	s, err := e.newSession(g, bound)
	if err != nil {
		return nil, err
	}
	return &program{s: s, in: bound}, nil
}

// program is a session as graph.Runner.
type program struct {
	s  *session
	in map[string]graph.Type
}

// Run implements graph.Runner.
func (p *program) Run(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	in, err := checked(p.s.g, p.in, in)
	if err != nil {
		return nil, err
	}
	values, free, err := p.s.newValues(in)
	defer free()
	if err != nil {
		return nil, err
	}
	results, err := p.s.run(ctx, values)
	if err != nil {
		return nil, err
	}
	return p.s.collect(results)
}

// Close implements graph.Runner.
func (p *program) Close() { p.s.close() }

// collect reads and frees results.
func (s *session) collect(results []value) (map[string]tensor.Tensor, error) {
	tensors := make(map[string]tensor.Tensor, len(results))
	var failed error
	for i, v := range results {
		t, err := s.lib.read(v)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: output %q: %w", s.g.Source, s.outputs[i].name, err)
		}
		tensors[s.outputs[i].name] = t
		s.lib.free(v)
	}
	if failed != nil {
		return nil, failed
	}
	return tensors, nil
}

// checked compares tensors with the compiled types and rounds float32 that is given for a half type.
func checked(g *graph.Graph, types map[string]graph.Type, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	bad := func(name, format string, args ...any) error {
		return &graph.ShapeError{Source: g.Source, Input: fmt.Sprintf("%q", name), Why: fmt.Sprintf(format, args...)}
	}
	out := make(map[string]tensor.Tensor, len(types))
	for name, typ := range types {
		t, ok := in[name]
		switch {
		case !ok:
			return nil, bad(name, "missing")
		case t.DType != typ.DType && t.DType != typ.Storage(), !slices.Equal(t.Shape, typ.Shape):
			return nil, bad(name, "given %v%v, the program is compiled for %v", t.DType, t.Shape, typ)
		case len(t.Data) != t.Elems()*t.DType.Size():
			return nil, bad(name, "%d bytes of data where %v needs %d", len(t.Data), typ, t.Elems()*t.DType.Size())
		}
		if t.DType != typ.DType {
			half := tensor.New(typ.DType, typ.Shape...)
			tensor.NarrowInto(half, 0, t.F32())
			t = half
		}
		out[name] = t
	}
	for name := range in {
		if _, ok := types[name]; !ok {
			return nil, bad(name, "the graph has no such input")
		}
	}
	return out, nil
}
