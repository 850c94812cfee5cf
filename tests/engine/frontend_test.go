package engine

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// frontend holds the models that internal/onnx is tested with: one small network from both exporters at several opsets,
// with weights in several types and places.
const frontend = root + "/internal/onnx/testdata"

// TestFrontEndModelsEqualONNXRuntime runs them. Models of half precision are compared within the resolution of the
// type: ONNX Runtime rounds every intermediate value, this executor keeps float32.
func TestFrontEndModelsEqualONNXRuntime(t *testing.T) {
	files, err := filepath.Glob(frontend + "/*.safetensors")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) {
			tol := 1e-4
			if strings.HasSuffix(name, "f16") {
				tol = 4e-3
			}
			g := readGolden(t, file)
			m := openFrontEnd(t, name)
			asDeclared(m.Graph, g)
			compareNetwork(t, m.Graph, g, graph.Options{Paranoid: true, Threads: 2}, tol)
			compareNetwork(t, m.Graph, g, graph.Options{NoFusion: true, NoReuse: true, Threads: 1}, tol)
		})
	}
}

// openFrontEnd opens a model that is one file, or a folder with its weights beside it.
func openFrontEnd(t *testing.T, name string) *onnx.Model {
	t.Helper()
	path := filepath.Join(frontend, name+".onnx")
	if found, _ := filepath.Glob(path); len(found) == 0 {
		path = filepath.Join(frontend, name, "model.onnx")
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// asDeclared gives one-element tensors the rank that the model declares: the golden files hold scalars as [1].
func asDeclared(g *graph.Graph, golden golden) {
	ports := map[string][]graph.Dim{}
	for _, id := range append(slices.Clone(g.Inputs), g.Outputs...) {
		ports[g.Value(id).Name] = g.Value(id).Dims
	}
	for _, side := range []map[string]tensor.Tensor{golden.in, golden.out} {
		for name, x := range side {
			if dims := ports[name]; dims != nil && len(dims) == 0 && x.Elems() == 1 {
				side[name] = x.Reshaped()
			}
		}
	}
}
