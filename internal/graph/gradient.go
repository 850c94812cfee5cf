package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"winnow/internal/tensor"
)

// GradientProgram is a compiled graph with its reverse pass: one list of kernels over one arena, run in two halves. What
// the forward half leaves for the reverse half stays in the arena in between.
type GradientProgram struct {
	prog *Program
	spec GradientSpec
	in   map[string]tensor.Tensor // inputs of the last Forward; nil: there is nothing to go back through
}

// CompileGradient is Compile for a graph and its reverse pass. Operators are fused first and differentiated as what they
// are then; the errors are those of Compile, and an *UnsupportedError when something on the way has no gradient.
func CompileGradient(g *Graph, inputs map[string]Type, spec GradientSpec, opt *Options) (*GradientProgram, error) {
	o := opt.complete()
	p, total, err := specialize(g, inputs, o)
	if err != nil {
		return nil, err
	}
	p.lean, p.release = spec.Checkpoint, o.Release
	prog := newProgram(p, o, total)
	if !o.NoFusion {
		p.runPasses(o, prog.stats.Fused, structurePasses)
	}
	if err := p.differentiate(spec, !o.NoFusion); err != nil {
		return nil, err
	}
	p.recompute(spec.Checkpoint)
	if !o.NoFusion {
		p.runPasses(o, prog.stats.Fused, reversePasses)
		p.runPasses(o, prog.stats.Fused, epiloguePasses)
	}
	if err := prog.build(); err != nil {
		return nil, err
	}
	prog.stats.SavedBytes = prog.savedBytes()
	return &GradientProgram{prog: prog, spec: spec}, nil
}

// Program gives access to statistics and the plan. It must not be run.
func (g *GradientProgram) Program() *Program { return g.prog }

// Forward computes the outputs. The input tensors must stay as they are until Backward has returned.
func (g *GradientProgram) Forward(ctx context.Context, in map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	p := g.prog
	p.mu.Lock()
	defer p.mu.Unlock()
	g.in = nil
	p.disconnect()
	if err := p.start(in); err != nil {
		return nil, err
	}
	if err := p.runSteps(ctx, 0, p.forward); err != nil {
		p.disconnect()
		return nil, err
	}
	g.in = maps.Clone(in)
	return p.collectOutputs(in, false), nil
}

// ErrNoForward is returned by Backward without a Forward of its own.
var ErrNoForward = errors.New("the reverse pass needs a forward pass before it, and each forward pass serves one reverse pass")

// Backward computes the gradients for the last Forward. It can be called once for each Forward, because it reuses the
// memory of the values that it has read.
func (g *GradientProgram) Backward(ctx context.Context, cotangents map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	p := g.prog
	p.mu.Lock()
	defer p.mu.Unlock()
	if g.in == nil {
		return nil, ErrNoForward
	}
	in, err := p.cotangents(cotangents)
	if err != nil {
		return nil, err
	}
	maps.Copy(g.in, in)
	defer func() { g.in = nil; p.disconnect() }()
	p.connect(in, true)
	if err := p.runSteps(ctx, p.forward, len(p.steps)); err != nil {
		return nil, err
	}
	if p.opt.Debug >= 2 {
		p.printProfile()
	}
	grads := map[string]tensor.Tensor{}
	for name, t := range p.collectOutputs(g.in, true) {
		grads[name[len(gradientPrefix):]] = t
	}
	return grads, nil
}

// Close frees the program.
func (g *GradientProgram) Close() { g.prog.Close() }

// cotangents names the caller's tensors as the program does, adds zeros for those left out, and checks them.
func (g *Program) cotangents(given map[string]tensor.Tensor) (map[string]tensor.Tensor, error) {
	in := map[string]tensor.Tensor{}
	for name, t := range given {
		in[cotangentPrefix+name] = t
	}
	for _, p := range g.ir.inputs {
		if _, ok := in[p.name]; p.back && !ok {
			in[p.name] = zeros(g.ir.val(p.value).typ)
		}
	}
	for name := range in {
		if !slices.ContainsFunc(g.ir.inputs, func(p irPort) bool { return p.back && p.name == name }) {
			return nil, &ShapeError{
				Source: g.ir.src.Source, Input: fmt.Sprintf("%q", name),
				Why: "a cotangent is given for something that is no differentiated output",
			}
		}
	}
	return in, g.checkTensors(in, true)
}

// savedBytes is the memory of the arena that is in use between the two passes.
func (g *Program) savedBytes() int {
	n := 0
	for i := range g.buffers {
		if b := &g.buffers[i]; b.first < g.forward && b.last >= g.forward {
			n += b.used
		}
	}
	return n
}
