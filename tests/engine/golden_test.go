package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// root is the module's folder seen from this package.
const root = "../.."

// golden is one file of testdata: what ONNX Runtime computes for a network.
type golden struct {
	network, digest string
	in, out         map[string]tensor.Tensor
}

// readGolden reads a file written by a script of tests/oracle: tensors "in.<input>" and "out.<output>".
func readGolden(t *testing.T, path string) golden {
	t.Helper()
	f, err := safetensors.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	g := golden{f.Metadata["network"], f.Metadata["sha256"], map[string]tensor.Tensor{}, map[string]tensor.Tensor{}}
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		if rest, ok := strings.CutPrefix(name, "in."); ok {
			g.in[rest] = x
		} else {
			g.out[strings.TrimPrefix(name, "out.")] = x
		}
	}
	return g
}

// checkDigest fails when the network is not the one that the golden values were made with.
func checkDigest(t *testing.T, g golden) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, filepath.Dir(g.network), "*.onnx*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	h := sha256.New()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != g.digest {
		t.Fatalf("%s has changed since its golden values were made: run tests/oracle/engine.py", g.network)
	}
}

// TestNetworksEqualONNXRuntime runs every network with and without rewrites and under guards.
func TestNetworksEqualONNXRuntime(t *testing.T) {
	files, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) {
			g := readGolden(t, file)
			checkDigest(t, g)
			m, err := onnx.Open(filepath.Join(root, g.network))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for name, opt := range map[string]graph.Options{
				"optimised": {Paranoid: true, Threads: 2}, "serial": {Threads: 1}, "plain": {NoFusion: true, NoReuse: true, Threads: 2},
			} {
				t.Run(name, func(t *testing.T) { compareNetwork(t, m.Graph, g, opt, 1e-4) })
			}
		})
	}
}

func compareNetwork(t *testing.T, g *graph.Graph, want golden, opt graph.Options, tol float64) {
	types := map[string]graph.Type{}
	for name, x := range want.in {
		types[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	p, err := graph.Compile(g, types, &opt)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := p.Run(context.Background(), want.in)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Stats()
	t.Logf("%d nodes, %d after folding, %d steps, arena %d KiB, %.3f GFLOP, %v",
		s.FileNodes, s.FoldedNodes, s.Steps, s.ArenaBytes>>10, s.Flops/1e9, s.Fused)
	for name, w := range want.out {
		relative(t, name, got[name], w, tol)
	}
}

// relative requires that no element differs by more than tol times the largest magnitude of the expected tensor.
func relative(t *testing.T, name string, got, want tensor.Tensor, tol float64) {
	t.Helper()
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		t.Errorf("%s: got %v, want %v", name, got, want)
		return
	}
	if !want.DType.IsFloat() {
		if !got.Equal(want) {
			t.Errorf("%s: contents differ", name)
		}
		return
	}
	scale, worst, at := 0.0, 0.0, 0
	g, w := got.Float32s(), want.Float32s()
	for i := range w {
		scale = max(scale, math.Abs(float64(w[i])))
		if d := math.Abs(float64(g[i]) - float64(w[i])); d > worst || d != d {
			worst, at = d, i
		}
	}
	if !(worst <= tol*scale) {
		t.Errorf("%s[%d]: got %g, want %g; the largest magnitude is %g", name, at, g[at], w[at], scale)
	}
}

// TestEveryNetworkHasGoldenValues keeps the list complete.
func TestEveryNetworkHasGoldenValues(t *testing.T) {
	have := map[string]bool{}
	files, _ := filepath.Glob("testdata/*.safetensors")
	for _, f := range files {
		have[readGolden(t, f).network] = true
	}
	for _, folder := range []string{"assets/mini/pipeline", "tests/tiny"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "rewards" { // their scores are golden, in tests/golden/rewards
				return fs.SkipDir
			}
			if err != nil || d.Name() != "model.onnx" {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if !have[filepath.ToSlash(rel)] {
				t.Errorf("%s has no golden values: run tests/oracle/engine.py", rel)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
