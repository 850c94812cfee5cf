package families

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/tensor"
)

// TestModulesAgree requires that the modules of a network are found under the same names whatever exporter and opset the
// file comes from.
func TestModulesAgree(t *testing.T) {
	first := map[string][]string{}
	for _, name := range exports(t) {
		t.Run(name, func(t *testing.T) {
			e := open(t, name)
			var got []string
			for _, m := range lora.List(e.model.Graph) {
				got = append(got, fmt.Sprintf("%s %s %d→%d %v groups %d", m.Name, m.Kind, m.In, m.Out, m.Kernel, m.Groups))
			}
			slices.Sort(got)
			family := path.Dir(name)
			if first[family] == nil {
				first[family] = got
			}
			for _, d := range without(got, first[family]) {
				t.Errorf("only here: %s", d)
			}
			for _, d := range without(first[family], got) {
				t.Errorf("not here: %s", d)
			}
		})
	}
}

// without lists what is in a and not in b.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// mixed are families with modules whose activations have no sample of the batch each: two towers with batches of their
// own, and a projection of relative positions.
var mixed = []string{"clip_dual", "siglip", "deberta_v2"}

// TestLoRAPerSample puts an adapter into every module. With a scale of zero for every sample the network computes what it
// computed before, half precision included; where a scale per sample has no meaning, it is refused by the module's name.
func TestLoRAPerSample(t *testing.T) {
	for _, name := range exports(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, name)
			in, given := adapted(t, e)
			samples := 0
			for _, id := range e.model.Graph.Inputs {
				if x := given[e.model.Graph.Value(id).Name]; len(x.Shape) > 0 && samples == 0 {
					samples = x.Shape[0]
				}
			}
			given[lora.ScaleName("all")] = tensor.New(tensor.F32, samples)
			p, err := graph.Compile(in.Graph, types(given), &graph.Options{Threads: 2, Paranoid: true})
			if slices.Contains(mixed, path.Dir(name)) {
				var shape *graph.ShapeError
				if !errors.As(err, &shape) || !strings.Contains(err.Error(), "must hold whole samples") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			out, err := p.Run(t.Context(), given)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, out, e.sets[0].out, e.tolerance())
		})
	}
}

// adapted puts an adapter into every module of an export and draws its factors.
func adapted(t *testing.T, e *export) (*lora.Injection, map[string]tensor.Tensor) {
	t.Helper()
	in, err := lora.Inject(e.model.Graph, lora.Adapter{Name: "all", Rank: 2, Pattern: ".*"})
	if err != nil {
		t.Fatal(err)
	}
	given := maps.Clone(e.sets[0].in)
	for _, p := range in.Params("all") {
		given[p.Name] = normal(len(given), 0.3, p.Shape)
	}
	return in, given
}

// TestLoRAGradient puts an adapter into every module of every export, compiles the gradient of all factors and
// floating-point inputs, and compares its product with a direction with the difference quotient along it.
func TestLoRAGradient(t *testing.T) {
	for _, name := range exports(t) {
		if strings.HasSuffix(name, "f16") { // a difference quotient needs more digits
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t, name)
			in, given := adapted(t, e)
			given[lora.ScaleName("all")] = tensor.FromF32([]float32{1}, 1)
			along(t, in.Graph, given)
		})
	}
}

// Steps of the difference quotient, relative to the length of the gradient, and the largest accepted difference from it,
// relative too. Float32 limits it; kinks (ReLU, clips) add to it.
const (
	step      = 0.01
	agreement = 1e-2
)

// along goes a small step up and down the gradient of a random combination of all outputs. The change must be the
// gradient's length times the step.
func along(t *testing.T, g *graph.Graph, given map[string]tensor.Tensor) {
	t.Helper()
	spec := graph.GradientSpec{Wrt: floats(given)}
	d, err := graph.CompileGradient(g, types(given), spec, &graph.Options{Threads: 2, Paranoid: true})
	var refused *graph.UnsupportedError
	if errors.As(err, &refused) && refused.Op == "GatherElements" && refused.Opset < 16 {
		return // ONNX has no way to write its gradient there, and the error says so
	}
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.Forward(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	cot := map[string]tensor.Tensor{}
	for _, name := range floats(out) {
		cot[name] = normal(len(name), 1, out[name].Shape)
	}
	grads, err := d.Backward(t.Context(), cot)
	if err != nil {
		t.Fatal(err)
	}
	length := 0.0
	for _, x := range grads {
		length += dot(x, x)
	}
	length = math.Sqrt(length)
	change := func(h float64) float64 {
		var value [2]float64
		for k, sign := range []float64{1, -1} {
			out, err := d.Forward(t.Context(), moved(given, grads, sign*h/length))
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range cot {
				value[k] += dot(out[name], c)
			}
		}
		return (value[0] - value[1]) / (2 * h)
	}
	h := step / math.Sqrt(length)
	got := (4*change(h/2) - change(h)) / 3 // the error of third order cancels
	t.Logf("%d tensors, quotient %g, gradient %g, ratio %.2g", len(grads), got, length, got/length-1)
	if !(math.Abs(got-length) <= agreement*length) {
		t.Errorf("the difference quotient along the gradient is %g, its length %g", got, length)
	}
}

// floats lists the names of float32 tensors.
func floats(m map[string]tensor.Tensor) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name].DType == tensor.F32 {
			names = append(names, name)
		}
	}
	return names
}

// moved adds a multiple of the gradient.
func moved(x, grads map[string]tensor.Tensor, factor float64) map[string]tensor.Tensor {
	out := maps.Clone(x)
	for name, g := range grads {
		y := x[name].Clone()
		for i, v := range g.F32() {
			y.F32()[i] += float32(factor * float64(v))
		}
		out[name] = y
	}
	return out
}

func dot(a, b tensor.Tensor) float64 {
	sum := 0.0
	for i, v := range a.F32() {
		sum += float64(v) * float64(b.F32()[i])
	}
	return sum
}

// normal draws a tensor of normal numbers.
func normal(seed int, std float64, shape []int) tensor.Tensor {
	r := rand.New(rand.NewPCG(uint64(seed), 17))
	x := tensor.New(tensor.F32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(std * r.NormFloat64())
	}
	return x
}
