package graph_test

import (
	"context"
	"fmt"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// A graph is built or decoded once, compiled for the shapes at hand, and run as often as needed.
func Example() {
	b := graph.NewBuilder("silu")
	x := b.InputDims("x", tensor.F32, graph.Dim{Size: -1, Sym: "n"})
	b.Output("y", b.Op("Mul", x, b.Op("Sigmoid", x)))
	g, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := graph.Compile(g, map[string]graph.Type{"x": {DType: tensor.F32, Shape: []int{3}}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	out, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": tensor.FromF32([]float32{-1, 0, 1}, 3)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.4f in %d step, rewrites %v\n", out["y"].F32(), p.Stats().Steps, p.Stats().Fused)
	// Output: [-0.2689 0.0000 0.7311] in 1 step, rewrites map[silu:1]
}
