// Package model runs one exported network: named inputs in, named outputs out. It loads the ONNX file, compiles it for
// the shapes it meets, and keeps the compiled programs, so that a caller sees a function of tensors and nothing else.
package model

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"

	"winnow/internal/graph"
	"winnow/internal/kernel"
	"winnow/internal/mmap"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// maxPrograms bounds the compiled programs kept per network. Each holds an arena or a session; a sampling run needs one shape, two
// when its last batch is smaller.
const maxPrograms = 4

// Options says how a network runs. The zero value runs serially on the embedded executor.
type Options struct {
	Pool     *kernel.Pool   // worker pool shared between networks; nil runs on the calling goroutine
	Executor graph.Executor // nil is the embedded one
}

// Port describes one input or output. A dimension of -1 is decided by the caller.
type Port struct {
	Name  string       `json:"name"`
	DType tensor.DType `json:"-"`
	Type  string       `json:"dtype"`
	Shape []int        `json:"shape"`
	Dims  []string     `json:"dims"`
}

// Model is one loaded network. It is safe for concurrent use; runs of one shape take turns.
type Model struct {
	file *onnx.Model
	opt  Options
	path string

	mu       sync.Mutex
	programs map[string]*compiled
	order    []string
	packs    *graph.Packs // packed weights, shared by the programs
	variant  bool         // the file belongs to another one

	gradient    graph.Gradient // program of the last VJP, nil while it runs
	gradientFor string         // its shapes and spec
}

// compiled is one entry of the cache. A program that leaves the cache is closed when its last run has ended.
type compiled struct {
	runner graph.Runner
	users  int
	gone   bool // from the cache
}

// Open maps the ONNX file at file and its external data.
func Open(file string, opt *Options) (*Model, error) {
	m, err := onnx.Open(file)
	if err != nil {
		return nil, err
	}
	return newModel(m, file, opt), nil
}

// OpenFS loads name from fsys, for models that are embedded in the binary. External data is looked up beside it.
func OpenFS(fsys fs.FS, name string, opt *Options) (*Model, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m, err := onnx.Parse(name, data, func(location string) ([]byte, error) {
		return fs.ReadFile(fsys, path.Join(path.Dir(name), filepath.ToSlash(location)))
	})
	if err != nil {
		return nil, err
	}
	return newModel(m, name, opt), nil
}

func newModel(m *onnx.Model, path string, opt *Options) *Model {
	out := &Model{file: m, path: path, programs: map[string]*compiled{}, packs: &graph.Packs{}}
	if opt != nil {
		out.opt = *opt
	}
	return out
}

// Path is the file that the network came from.
func (m *Model) Path() string { return m.path }

// File is the decoded ONNX model, for inspection.
func (m *Model) File() *onnx.Model { return m.file }

// SetGraph makes g, a rewrite of the file's graph that shares its weights, the network that runs. It must come before the first
// run. Inputs lists what g adds, too.
func (m *Model) SetGraph(g *graph.Graph) { m.file.Graph = g }

// Variant is another network of the same weights, which has programs of its own. g is a rewrite of the file's graph. It must be closed
// before m.
func (m *Model) Variant(g *graph.Graph) *Model {
	file := *m.file
	file.Graph = g
	out := newModel(&file, m.path, &m.opt)
	out.packs, out.variant = m.packs, true
	return out
}

// Inputs lists the tensors that Run wants, in file order. Initialisers that old exporters also list are left out.
func (m *Model) Inputs() []Port { return m.ports(m.file.Graph.Inputs) }

// Outputs lists the tensors that Run returns, in file order.
func (m *Model) Outputs() []Port { return m.ports(m.file.Graph.Outputs) }

// Input returns the input called name.
func (m *Model) Input(name string) (Port, bool) { return find(m.Inputs(), name) }

// Output returns the output called name.
func (m *Model) Output(name string) (Port, bool) { return find(m.Outputs(), name) }

func find(ports []Port, name string) (Port, bool) {
	i := slices.IndexFunc(ports, func(p Port) bool { return p.Name == name })
	if i < 0 {
		return Port{}, false
	}
	return ports[i], true
}

func (m *Model) ports(ids []graph.ValueID) []Port {
	out := make([]Port, 0, len(ids))
	for _, id := range ids {
		v := m.file.Graph.Values[id]
		if v.Const != nil {
			continue
		}
		p := Port{Name: v.Name, DType: v.DType, Type: v.DType.String(), Shape: []int{}, Dims: []string{}}
		for _, d := range v.Dims {
			p.Shape = append(p.Shape, d.Size)
			switch {
			case d.Size >= 0:
				p.Dims = append(p.Dims, fmt.Sprint(d.Size))
			case d.Sym != "":
				p.Dims = append(p.Dims, d.Sym)
			default:
				p.Dims = append(p.Dims, "?")
			}
		}
		out = append(out, p)
	}
	return out
}

// Run evaluates the network. The first run with a new set of input shapes compiles a program for it. The returned
// tensors belong to the caller.
func (m *Model) Run(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	types := make(map[string]graph.Type, len(in))
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	c, err := m.acquire(types)
	if err != nil {
		return nil, err
	}
	defer m.release(c)
	return c.runner.Run(ctx, in)
}

// Compile returns the program of the embedded executor for the given input types, from the cache when the shapes were seen
// before. It is for looking at; Run compiles by itself.
func (m *Model) Compile(types map[string]graph.Type) (*graph.Program, error) {
	c, err := m.acquire(types)
	if err != nil {
		return nil, err
	}
	defer m.release(c)
	p, ok := c.runner.(*graph.Program)
	if !ok {
		return nil, fmt.Errorf("%s: executor %s does not show its programs", m.path, m.opt.Executor.Name())
	}
	return p, nil
}

// acquire returns the cached or a new program, to be given back by release.
func (m *Model) acquire(types map[string]graph.Type) (*compiled, error) {
	key := shapeKey(types)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.programs[key]; ok {
		m.touch(key)
		c.users++
		return c, nil
	}
	r, err := m.executor().Compile(m.file.Graph, types)
	if err != nil {
		return nil, err
	}
	if len(m.order) == maxPrograms {
		m.drop(m.order[0])
		m.order = m.order[1:]
	}
	c := &compiled{runner: r, users: 1}
	m.programs[key] = c
	m.order = append(m.order, key)
	return c, nil
}

func (m *Model) executor() graph.Executor {
	if m.opt.Executor != nil {
		return m.opt.Executor
	}
	return &graph.Embedded{Options: &graph.Options{Pool: m.opt.Pool, Threads: 1, Packs: m.packs, Release: mmap.Release}}
}

func (m *Model) release(c *compiled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.users--
	c.closeUnused()
}

// drop takes a program out of the cache; the caller holds the lock and mends the order.
func (m *Model) drop(key string) {
	c := m.programs[key]
	delete(m.programs, key)
	c.gone = true
	c.closeUnused()
}

func (c *compiled) closeUnused() {
	if c.gone && c.users == 0 {
		c.runner.Close()
	}
}

// touch moves key to the end of the eviction order.
func (m *Model) touch(key string) {
	i := slices.Index(m.order, key)
	m.order = append(slices.Delete(m.order, i, i+1), key)
}

func shapeKey(types map[string]graph.Type) string {
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s:%v%v;", name, types[name].DType, types[name].Shape)
	}
	return b.String()
}

// Close drops the programs and unmaps the file. The model must not be used afterwards.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.programs {
		m.drop(key)
	}
	m.order = nil
	if m.gradient != nil {
		m.gradient.Close()
		m.gradient = nil
	}
	if m.variant {
		return nil
	}
	return m.file.Close()
}
