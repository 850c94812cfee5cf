package graph

import (
	"context"

	"winnow/internal/tensor"
)

// Executor turns graphs into something that runs. The embedded executor is *Embedded; internal/ort holds the one of
// ONNX Runtime. Both refuse what they cannot run when they compile, with an *UnsupportedError or a *ShapeError.
type Executor interface {
	// Name is what --executor takes, for example "embedded" or "onnxruntime:cuda".
	Name() string
	// Compile prepares a graph for inputs of the given types.
	Compile(g *Graph, inputs map[string]Type) (Runner, error)
	// CompileGradient prepares a graph and its reverse pass.
	CompileGradient(g *Graph, inputs map[string]Type, spec GradientSpec) (Gradient, error)
}

// Runner is a compiled graph.
type Runner interface {
	// Run computes the outputs by name. Inputs are only read; outputs are fresh tensors.
	Run(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error)
	// Close frees what the program holds. It must not be used afterwards.
	Close()
}

// GradientSpec says which derivative is wanted.
type GradientSpec struct {
	Outputs []string // outputs that cotangents will be given for; empty: every floating-point output
	Wrt     []string // inputs whose gradient is wanted, in order
	// Checkpoint keeps only the values at the borders of blocks and computes the rest again in the backward pass
	// (gradient checkpointing): less memory, about one more forward pass. The embedded executor then also reads the
	// weights of the backward pass from where they are, instead of holding them in a second order.
	Checkpoint bool
}

// Gradient is a compiled graph with its reverse pass. A Backward belongs to the last Forward before it.
type Gradient interface {
	// Forward computes the outputs, as Runner.Run, and keeps what Backward needs.
	Forward(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error)
	// Backward returns Σ cotangentᵀ·∂output/∂input for every input of GradientSpec.Wrt, by input name and in the shape of
	// the input. Cotangents are given by output name, in the shape of the output; a missing one is zero. It may be called
	// once after each Forward.
	Backward(ctx context.Context, cotangents map[string]tensor.Tensor) (map[string]tensor.Tensor, error)
	// Close frees what the program holds. It must not be used afterwards.
	Close()
}
