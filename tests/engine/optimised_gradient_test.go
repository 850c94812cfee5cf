package engine

import (
	"context"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// TestOptimisedNetworksHaveTheSameGradient differentiates a network before and after ONNX Runtime's optimiser: lowered
// operators need no reverse passes of their own.
func TestOptimisedNetworksHaveTheSameGradient(t *testing.T) {
	for _, c := range []struct{ part, wrt, out string }{
		{"unet", "sample", "out_sample"}, {"unet", "encoder_hidden_states", "out_sample"}, {"vae_decoder", "latent_sample", "sample"},
	} {
		want := readGolden(t, "testdata/sd15_"+c.part+".safetensors")
		plain := gradientOf(t, root+"/tests/tiny/sd15/"+c.part+"/model.onnx", want, c.out, c.wrt)
		relative(t, c.part+" ∂/∂"+c.wrt, gradientOf(t, optimised+"/sd15_"+c.part+".onnx", want, c.out, c.wrt), plain, 1e-4)
	}
}

// gradientOf is the gradient of ½‖out‖² by input wrt.
func gradientOf(t *testing.T, file string, in golden, out, wrt string) tensor.Tensor {
	t.Helper()
	m, err := onnx.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	types := map[string]graph.Type{}
	for name, x := range in.in {
		types[name] = graph.Type{DType: x.DType, Shape: x.Shape}
	}
	p, err := graph.CompileGradient(m.Graph, types, graph.GradientSpec{Outputs: []string{out}, Wrt: []string{wrt}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	y, err := p.Forward(context.Background(), in.in)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Backward(context.Background(), map[string]tensor.Tensor{out: y[out]})
	if err != nil {
		t.Fatal(err)
	}
	return g[wrt]
}
