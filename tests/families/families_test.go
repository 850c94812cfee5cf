package families

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/ort"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Largest accepted difference from ONNX Runtime, relative to the largest magnitude of an output. For half precision it is
// the resolution of the type: the expected values come from ONNX Runtime without optimisation, which rounds every
// intermediate value; its optimiser rounds at other places, and the embedded executor keeps float32.
const (
	tolerance     = 1e-4
	halfTolerance = 1e-2
)

// set is one set of inputs with what ONNX Runtime computes from it.
type set struct {
	in, out map[string]tensor.Tensor
}

// export is one exported network of a family.
type export struct {
	name  string // family/export
	model *onnx.Model
	sets  []set
}

// exports lists the names of the committed exports as family/export.
func exports(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.onnx.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exports: %v", err)
	}
	for i, f := range files {
		rel, err := filepath.Rel("testdata", strings.TrimSuffix(f, ".onnx.gz"))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = filepath.ToSlash(rel)
	}
	return files
}

// open reads an export, its inputs and its expected outputs.
func open(t *testing.T, name string) *export {
	t.Helper()
	stem := filepath.Join("testdata", filepath.FromSlash(name))
	m, err := onnx.Parse(name, unzip(t, stem+".onnx.gz"), hashedWeights)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	e := &export{name: name, model: m}
	inputs := bySet(t, filepath.Join(filepath.Dir(stem), "inputs.safetensors"))
	for k, out := range bySet(t, stem+".safetensors") {
		e.sets = append(e.sets, set{e.declared(inputs[k]), out})
	}
	return e
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bySet reads tensors called "<set>.<name>".
func bySet(t *testing.T, path string) []map[string]tensor.Tensor {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var sets []map[string]tensor.Tensor
	for _, full := range f.Names() {
		index, name, _ := strings.Cut(full, ".")
		for int(index[0]-'0') >= len(sets) {
			sets = append(sets, map[string]tensor.Tensor{})
		}
		sets[index[0]-'0'][name], _ = f.Tensor(full)
	}
	return sets
}

// declared rounds inputs to half precision where the export declares it.
func (e *export) declared(in map[string]tensor.Tensor) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for _, id := range e.model.Graph.Inputs {
		v := e.model.Graph.Value(id)
		x, ok := in[v.Name]
		if ok && v.DType == tensor.F16 && x.DType == tensor.F32 {
			half := tensor.New(tensor.F16, x.Shape...)
			tensor.NarrowInto(half, 0, x.F32())
			x = half
		}
		if ok {
			out[v.Name] = x
		}
	}
	return out
}

func (e *export) tolerance() float64 {
	if strings.HasSuffix(e.name, "f16") {
		return halfTolerance
	}
	return tolerance
}

func types(in map[string]tensor.Tensor) map[string]graph.Type {
	out := map[string]graph.Type{}
	for name, x := range in {
		out[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	return out
}

// TestEmbeddedEqualsONNXRuntime runs every export at every set of shapes: optimised under guards, and plain, without
// rewrites and without shared memory.
func TestEmbeddedEqualsONNXRuntime(t *testing.T) {
	for _, name := range exports(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, name)
			for _, s := range e.sets {
				e.compare(t, s, graph.Options{Paranoid: true, Threads: 2})
				e.compare(t, s, graph.Options{NoFusion: true, NoReuse: true, Threads: 1})
			}
		})
	}
}

// TestONNXRuntimeExecutorAgrees runs every export through the executor of ONNX Runtime, which has to write the graphs back
// as it was given them.
func TestONNXRuntimeExecutorAgrees(t *testing.T) {
	x, err := ort.New(t.Context(), ort.Options{Threads: 1})
	var missing *ort.LibraryError
	if errors.As(err, &missing) && missing.Err == nil {
		t.Skipf("ONNX Runtime is not installed: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range exports(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, name)
			for _, s := range e.sets {
				e.run(t, x, s)
			}
		})
	}
}

// compare runs the embedded executor.
func (e *export) compare(t *testing.T, s set, opt graph.Options) {
	t.Helper()
	e.run(t, &graph.Embedded{Options: &opt}, s)
}

// run compiles and runs one set of inputs.
func (e *export) run(t *testing.T, x graph.Executor, s set) {
	t.Helper()
	p, err := x.Compile(e.model.Graph, types(s.in))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := p.Run(t.Context(), s.in)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, got, s.out, e.tolerance())
}

// agree requires equal names, types and shapes, and that no element differs by more than tol times the largest magnitude
// of the expected tensor.
func agree(t *testing.T, got, want map[string]tensor.Tensor, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d outputs, want %d", len(got), len(want))
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok || g.DType != w.DType || !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s: got %v, want %v", name, g, w)
			continue
		}
		scale, worst, at := 0.0, 0.0, 0
		x, y := g.Float32s(), w.Float32s()
		for i := range y {
			scale = max(scale, math.Abs(float64(y[i])))
			if d := math.Abs(float64(x[i]) - float64(y[i])); d > worst || d != d {
				worst, at = d, i
			}
		}
		if !(worst <= tol*scale) {
			t.Errorf("%s[%d]: got %g, want %g; the largest magnitude is %g", name, at, x[at], y[at], scale)
		}
	}
}
