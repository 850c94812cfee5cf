package ort

import (
	"strings"
	"testing"

	"winnow/internal/onnx"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// TestCompile_operatorsWithoutKernels runs networks that ONNX Runtime's optimiser has rewritten with operators that it has
// no CPU kernels for. The results are those of the networks before that.
func TestCompile_operatorsWithoutKernels(t *testing.T) {
	e := executor(t)
	for _, part := range []string{"unet", "vae_decoder"} {
		m, err := onnx.Open("../../tests/optimised/sd15_" + part + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		f, err := safetensors.Read("../../tests/engine/testdata/sd15_" + part + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		in, want := map[string]tensor.Tensor{}, map[string]tensor.Tensor{}
		for _, name := range f.Names() {
			x, _ := f.Tensor(name)
			if rest, ok := strings.CutPrefix(name, "in."); ok {
				in[rest] = x
			} else {
				want[strings.TrimPrefix(name, "out.")] = x
			}
		}
		p, err := e.Compile(m.Graph, typesOf(in))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		got, err := p.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range want {
			near(t, part+" "+name, got[name], x, 1e-5)
		}
	}
}
