package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

const optimised = root + "/tests/optimised"

// TestOptimisedNetworksEqualONNXRuntime runs networks that ONNX Runtime's optimiser has rewritten with operators of its own
// domain. They must yield what ONNX Runtime computes for the networks before that; several of the operators have no CPU
// kernel in ONNX Runtime itself.
func TestOptimisedNetworksEqualONNXRuntime(t *testing.T) {
	files, err := filepath.Glob(optimised + "/*.onnx")
	if err != nil || len(files) < 9 {
		t.Fatalf("found %d networks (%v), want 9", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			base, half := strings.CutSuffix(name, "_f16")
			golden := filepath.Join(optimised, base+".safetensors")
			if strings.HasPrefix(base, "sd15_") {
				golden = "testdata/" + base + ".safetensors" // of the network in tests/tiny/sd15
			}
			m, err := onnx.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			want, tol := readGolden(t, golden), 1e-4
			if half { // weights, inputs and results have eleven significant bits
				roundToHalf(want.in)
				roundToHalf(want.out)
				tol = 1e-2
			}
			compareNetwork(t, m.Graph, want, graph.Options{Paranoid: true, Threads: 2}, tol)
			compareNetwork(t, m.Graph, want, graph.Options{NoFusion: true, NoReuse: true, Threads: 1}, tol)
			compareNetwork(t, expanded(t, m.Graph, want), want, graph.Options{Threads: 1}, tol)
		})
	}
}

// expanded writes the network with standard operators alone, as other executors get it.
func expanded(t *testing.T, g *graph.Graph, want golden) *graph.Graph {
	t.Helper()
	types := map[string]graph.Type{}
	for name, x := range want.in {
		types[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	e, err := graph.Expand(g, types)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Nodes {
		if n := &e.Nodes[i]; n.Domain != "" {
			t.Errorf("%s is no standard operator", n.Label())
		}
	}
	if _, err := onnx.Write(e, &onnx.WriteOptions{Inputs: types}); err != nil {
		t.Error(err)
	}
	return e
}

// roundToHalf converts the float32 tensors to float16.
func roundToHalf(tensors map[string]tensor.Tensor) {
	for name, x := range tensors {
		if x.DType != tensor.F32 {
			continue
		}
		tensors[name] = tensor.New(tensor.F16, x.Shape...)
		tensor.NarrowInto(tensors[name], 0, x.F32())
	}
}
