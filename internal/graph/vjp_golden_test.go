package graph

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// TestGradientGoldens holds every reverse pass against torch.autograd (tests/oracle/autograd.py), kinks and ties
// included: in float64 as built and as an exported graph, in float32 without and with rewrites.
func TestGradientGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/grads/*.safetensors")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d golden files (%v)", len(files), err)
	}
	for _, file := range files {
		for _, g := range readGolden(t, file) {
			t.Run(g.Name, func(t *testing.T) {
				if g.Op != "Attention" { // which has kernels for float32 storage only
					g.checkGradient(t, Options{NoFusion: true, NoReuse: true}, tolerance{tensor.F64: 1e-12, tensor.F32: 1e-6})
				}
				if g.Op == "Cast" || g.Op == "CastLike" { // about the types that they have
					return
				}
				narrow := g
				narrow.tensors = nil
				for _, x := range g.tensors {
					narrow.tensors = append(narrow.tensors, toF32(map[string]tensor.Tensor{"": x})[""])
				}
				for _, o := range []Options{{NoFusion: true}, {Paranoid: true}} {
					narrow.checkGradient(t, o, tolerance{tensor.F32: 1e-5})
				}
				for i, x := range narrow.tensors {
					if x.DType == tensor.F32 {
						narrow.tensors[i] = narrowed(x, Type{tensor.F16, x.Shape})
					}
				}
				narrow.checkGradient(t, Options{}, tolerance{tensor.F16: 1e-2})
			})
		}
	}
}

// checkGradient runs the case once. Of the inputs without a gradient in the file, numbers and what operators need at
// compile time are constants.
func (g *goldenCase) checkGradient(t *testing.T, o Options, tol tolerance) {
	t.Helper()
	graph, _, feeds, err := g.graph(func(i int) bool {
		return g.Grad[i] < 0 && (isShapeInput(g.Op, i) || g.tensors[g.In[i]].DType.IsFloat())
	})
	if err != nil {
		t.Fatal(err)
	}
	cot, want := map[string]tensor.Tensor{}, map[string]tensor.Tensor{}
	for i, ref := range g.Cot {
		if ref >= 0 {
			cot[fmt.Sprintf("y%d", i)] = g.tensors[ref]
		}
	}
	var wrt []string
	for i, ref := range g.Grad {
		if ref >= 0 {
			wrt = append(wrt, fmt.Sprintf("x%d", i))
			want[wrt[len(wrt)-1]] = g.tensors[ref]
		}
	}
	out, grads := runGradient(t, graph, feeds, cot, wrt, o)
	for i, ref := range g.Out {
		if ref >= 0 {
			compare(t, fmt.Sprintf("output %d", i), out[fmt.Sprintf("y%d", i)], g.tensors[ref], tol)
		}
	}
	for _, name := range wrt {
		compare(t, fmt.Sprintf("gradient of %s with %+v", name, o), grads[name], want[name], tol)
	}
	if o.NoReuse && !slices.ContainsFunc(wrt, func(name string) bool { return want[name].DType != tensor.F64 }) {
		checkExports(t, graph, feeds, cot, want)
	}
}
