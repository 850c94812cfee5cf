package graph

import (
	"fmt"
	"path/filepath"
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
				g.checkGradient(t, Options{NoFusion: true, NoReuse: true}, tolerance{tensor.F64: 1e-12, tensor.F32: 1e-6})
				narrow := g
				narrow.tensors = nil
				for _, x := range g.tensors {
					narrow.tensors = append(narrow.tensors, toF32(map[string]tensor.Tensor{"": x})[""])
				}
				for _, o := range []Options{{NoFusion: true}, {Paranoid: true}} {
					narrow.checkGradient(t, o, tolerance{tensor.F64: 2e-6, tensor.F32: 1e-5})
				}
			})
		}
	}
}

// checkGradient runs the case once. Inputs without a gradient in the file are constants where operators need their
// contents at compile time.
func (g *goldenCase) checkGradient(t *testing.T, o Options, tol tolerance) {
	t.Helper()
	graph, _, feeds, err := g.graph(func(i int) bool { return isShapeInput(g.Op, i) && g.Grad[i] < 0 })
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
	if o.NoReuse {
		checkExports(t, graph, feeds, cot, want)
	}
}
