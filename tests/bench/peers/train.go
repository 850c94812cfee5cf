package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"winnow/internal/graph"
	"winnow/internal/lora"
	"winnow/internal/mmap"
	"winnow/internal/onnx"
	"winnow/internal/tensor"
)

// adapter is the name of the LoRA that is trained.
const adapter = "default"

// attention are the modules that diffusers' training scripts adapt.
var attention = []string{"to_q", "to_k", "to_v", "to_out.0"}

// runTrain measures one forward and one backward pass for the gradient of a LoRA.
func runTrain(ctx context.Context, s settings) error {
	in := inputs(s)
	ours := side{name: "winnow"}
	if s.checkpoint {
		ours.name += " checkpointing"
	}
	prog, params, err := loadTrain(s, in, &ours)
	if err != nil {
		return err
	}
	defer prog.Close()
	printStats(prog.Program().Stats())
	r := rand.New(rand.NewPCG(9, 9))
	cot := tensor.New(tensor.F32, s.batch, 4, s.size, s.size)
	for i := range cot.F32() {
		cot.F32()[i] = float32(r.NormFloat64())
	}
	theirs, err := startPeer(ctx, s, "worker_train.py", s.seed, forPeer(in, cot))
	if err != nil {
		return err
	}
	var grads map[string]tensor.Tensor
	err = inTurn(s, theirs.call, ours.timed(func() error {
		if _, err := prog.Forward(ctx, in); err != nil {
			return err
		}
		forward := time.Now()
		grads, err = prog.Backward(ctx, map[string]tensor.Tensor{"out_sample": cot})
		fmt.Printf("backward %.2f s\n", time.Since(forward).Seconds())
		return err
	}))
	if err != nil {
		return err
	}
	return report(s, fmt.Sprintf("latents %dx%d", s.size, s.size), theirs, joined(grads, params), &ours)
}

// loadTrain injects the LoRA, draws its weights into in and compiles both passes.
func loadTrain(s settings, in map[string]tensor.Tensor, ours *side) (*graph.GradientProgram, []string, error) {
	begin := time.Now()
	m, err := onnx.Open(s.model)
	if err != nil {
		return nil, nil, err
	}
	inj, err := lora.Inject(m.Graph, lora.Adapter{Name: adapter, Rank: s.rank, Targets: attention})
	if err != nil {
		return nil, nil, err
	}
	r := rand.New(rand.NewPCG(8, 8))
	var params []string
	for _, p := range inj.Params(adapter) {
		t := tensor.New(tensor.F32, p.Shape...)
		for i := range t.F32() {
			t.F32()[i] = float32(r.NormFloat64() / math.Sqrt(float64(p.Shape[1])))
		}
		in[p.Name] = t
		params = append(params, p.Name)
	}
	in[lora.ScaleName(adapter)] = tensor.FromF32([]float32{1}, 1)
	types := map[string]graph.Type{}
	for name, t := range in {
		types[name] = graph.Type{DType: t.DType, Shape: t.Shape}
	}
	spec := graph.GradientSpec{Wrt: params, Checkpoint: s.checkpoint}
	p, err := graph.CompileGradient(inj.Graph, types, spec, &graph.Options{Threads: s.threads, Release: mmap.Release})
	ours.load = time.Since(begin).Seconds()
	return p, params, err
}

// forPeer names the tensors as the worker wants them.
func forPeer(in map[string]tensor.Tensor, cot tensor.Tensor) map[string]tensor.Tensor {
	out := map[string]tensor.Tensor{"cotangent": cot}
	for name, t := range in {
		if name != lora.ScaleName(adapter) {
			out[strings.TrimPrefix(name, "lora."+adapter+".")] = t
		}
	}
	return out
}

// joined lays the gradients end to end, sorted by name as the worker does.
func joined(grads map[string]tensor.Tensor, params []string) tensor.Tensor {
	var all []float32
	for _, name := range slices.Sorted(slices.Values(params)) {
		all = append(all, grads[name].F32()...)
	}
	return tensor.FromF32(all, len(all))
}
