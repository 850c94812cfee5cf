package gradients

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/onnx"
	"winnow/internal/ort"
	"winnow/internal/ort/orttest"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// Largest accepted differences, relative to the largest magnitude of a tensor. The numbers are those of the project's
// contract for whole networks: values to 1e-4, gradients to 1e-3. Torch computed in float64.
const (
	forwardTolerance  = 1e-4
	gradientTolerance = 1e-3
)

// network is one exported network with what torch makes of it.
type network struct {
	name                string // sd15_ts17
	file                []byte
	graph               *graph.Graph
	injected            *lora.Injection // nil without adapters
	in, out, cot, grads map[string]tensor.Tensor
}

// about is the description of one adapter in the golden file.
type about struct {
	Rank             int
	Alpha            float64
	Targets, Exclude []string
	Layers           int
}

// names lists the committed networks.
func names(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.onnx.gz")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d networks: %v", len(files), err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".onnx.gz")
	}
	return files
}

// open reads a network, puts its adapters in, and reads the tensors.
func open(t *testing.T, name string) *network {
	t.Helper()
	file := unzip(t, filepath.Join("testdata", name+".onnx.gz"))
	m, err := onnx.Parse(name, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	model, _, _ := strings.Cut(name, "_")
	f, err := safetensors.Read(filepath.Join("testdata", model+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	n := &network{
		name: name, file: file, graph: m.Graph,
		in: withPrefix(f, "in."), out: withPrefix(f, "out."), cot: withPrefix(f, "cot."), grads: withPrefix(f, "grad."),
	}
	n.inject(t, f.Metadata["about"])
	return n
}

// withPrefix takes the tensors whose names begin with prefix, under the rest of their names.
func withPrefix(f *safetensors.File, prefix string) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{}
	for _, full := range f.Names() {
		if rest, ok := strings.CutPrefix(full, prefix); ok {
			out[rest], _ = f.Tensor(full)
		}
	}
	return out
}

// inject adds the adapters that a golden file describes, and checks that they land where PEFT put them.
func (n *network) inject(t *testing.T, description string) {
	t.Helper()
	var described struct{ Adapters map[string]about }
	if err := json.Unmarshal([]byte(description), &described); err != nil {
		t.Fatal(err)
	}
	adapters := described.Adapters
	if len(adapters) == 0 {
		return
	}
	var list []lora.Adapter
	for name, a := range adapters {
		list = append(list, lora.Adapter{Name: name, Rank: a.Rank, Alpha: a.Alpha, Targets: a.Targets, Exclude: a.Exclude})
	}
	slices.SortFunc(list, func(a, b lora.Adapter) int { return strings.Compare(a.Name, b.Name) })
	var err error
	if n.injected, err = lora.Inject(n.graph, list...); err != nil {
		t.Fatal(err)
	}
	for name, a := range adapters {
		params := n.injected.Params(name)
		if len(params) != 2*a.Layers {
			t.Errorf("adapter %s is in %d modules, PEFT has it in %d", name, len(params)/2, a.Layers)
		}
		for _, p := range params {
			if w, ok := n.in[p.Name]; !ok || !slices.Equal(w.Shape, p.Shape) {
				t.Errorf("%s %v: PEFT has %v", p.Name, p.Shape, w)
			}
		}
	}
	n.graph = n.injected.Graph
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

func (n *network) types() map[string]graph.Type {
	types := map[string]graph.Type{}
	for name, x := range n.in {
		types[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	return types
}

// wrt are the inputs that torch gave gradients for.
func (n *network) wrt() []string {
	var out []string
	for name := range n.grads {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// onExecutors runs a test on the embedded executor with and without rewrites, and on ONNX Runtime where it is installed: it
// is the one thing here that cannot be committed.
func onExecutors(t *testing.T, test func(t *testing.T, x graph.Executor)) {
	for name, opt := range map[string]graph.Options{
		"embedded": {Threads: 2, Paranoid: true}, "plain": {Threads: 1, NoFusion: true, NoReuse: true},
	} {
		t.Run(name, func(t *testing.T) { test(t, &graph.Embedded{Options: &opt}) })
	}
	t.Run(ort.Name, func(t *testing.T) { test(t, orttest.Executor(t)) })
}

// TestForward compares networks with adapters with torch and PEFT.
func TestForward(t *testing.T) {
	for _, name := range names(t) {
		n := open(t, name)
		t.Run(name, func(t *testing.T) {
			onExecutors(t, func(t *testing.T, x graph.Executor) {
				r, err := x.Compile(n.graph, n.types())
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				out, err := r.Run(t.Context(), n.in)
				if err != nil {
					t.Fatal(err)
				}
				near(t, out, n.out, forwardTolerance)
			})
		})
	}
}

// TestGradient compares the gradient of every factor, scale and floating-point input with torch.autograd, with and without
// gradient checkpointing.
func TestGradient(t *testing.T) {
	for _, name := range names(t) {
		n := open(t, name)
		t.Run(name, func(t *testing.T) {
			onExecutors(t, func(t *testing.T, x graph.Executor) {
				for _, checkpoint := range []bool{false, true} {
					n.gradient(t, x, graph.GradientSpec{Wrt: n.wrt(), Checkpoint: checkpoint})
				}
			})
		})
	}
}

// gradient compiles and runs both passes. The second round shows that a program carries nothing over.
func (n *network) gradient(t *testing.T, x graph.Executor, spec graph.GradientSpec) {
	t.Helper()
	g, err := x.CompileGradient(n.graph, n.types(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for range 2 {
		out, err := g.Forward(t.Context(), n.in)
		if err != nil {
			t.Fatal(err)
		}
		near(t, out, n.out, forwardTolerance)
		grads, err := g.Backward(t.Context(), n.cot)
		if err != nil {
			t.Fatal(err)
		}
		near(t, grads, n.grads, gradientTolerance)
	}
}

// TestExportedGradient runs the graph that computes a network and its gradient in ordinary operators.
func TestExportedGradient(t *testing.T) {
	for _, name := range names(t) {
		n := open(t, name)
		t.Run(name, func(t *testing.T) {
			onExecutors(t, func(t *testing.T, x graph.Executor) {
				both, err := graph.VJP(n.graph, n.types(), graph.GradientSpec{Wrt: n.wrt()})
				if err != nil {
					t.Fatal(err)
				}
				in, types := maps.Clone(n.in), n.types()
				for output, cot := range n.cot {
					in["cotangent/"+output] = cot
					types["cotangent/"+output] = graph.Type{DType: cot.DType, Shape: cot.Shape}
				}
				r, err := x.Compile(both, types)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				out, err := r.Run(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				near(t, out, n.out, forwardTolerance)
				grads := map[string]tensor.Tensor{}
				for input := range n.grads {
					grads[input] = out["gradient/"+input]
				}
				near(t, grads, n.grads, gradientTolerance)
			})
		})
	}
}

// near requires every tensor of want to be in got within tol times its largest magnitude.
func near(t *testing.T, got, want map[string]tensor.Tensor, tol float64) {
	t.Helper()
	worst, at := 0.0, ""
	for name, w := range want {
		g, ok := got[name]
		if !ok || !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s: got %v, want %v", name, g, w)
			continue
		}
		scale, diff := 0.0, 0.0
		a, b := g.Float32s(), w.Float32s()
		for i := range b {
			scale = max(scale, math.Abs(float64(b[i])))
			if d := math.Abs(float64(a[i]) - float64(b[i])); d > diff || d != d {
				diff = d
			}
		}
		if r := diff / scale; !(r <= worst) {
			worst, at = r, name
		}
		if !(diff <= tol*scale) {
			t.Errorf("%s differs by %g of its largest magnitude %g", name, diff/scale, scale)
		}
	}
	t.Logf("%d tensors, largest difference %.1e, of %s", len(want), worst, at)
}
