package graph

import (
	"fmt"
	"unsafe"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// Compile specialises a graph to the given input types, folds and fuses it, lets every operator choose its kernel and
// plans the memory. The graph is only read and may be compiled several times.
//
// The program takes and gives tensors alone. The elements of an input or output x that is a sequence are "x[0]", "x[1]" and so
// on, and how many there are is fixed now; an optional x that holds a tensor is "x", and one that holds nothing is left out. A
// sequence without elements cannot be told from none, so an optional sequence then holds nothing.
//
// Errors are *UnsupportedError,
// *ShapeError or *RunError (a fault while folding); a nil error means that no node can be refused later.
func Compile(g *Graph, inputs map[string]Type, opt *Options) (*Program, error) {
	o := opt.complete()
	p, total, err := specialize(g, inputs, o)
	if err != nil {
		return nil, err
	}
	prog := newProgram(p, o, total)
	if !o.NoFusion {
		p.runPasses(o, prog.stats.Fused, structurePasses)
		p.runPasses(o, prog.stats.Fused, epiloguePasses)
	}
	return prog, prog.build()
}

func newProgram(p *ir, o *Options, total int) *Program {
	return &Program{opt: o, ir: p, stats: Stats{FileNodes: total, FoldedNodes: len(p.nodes), Fused: map[string]int{}}}
}

// build folds what the rewrites left, chooses kernels and plans the memory.
func (g *Program) build() error {
	if err := g.ir.foldRest(); err != nil {
		return err
	}
	g.ir.sweep()
	if err := g.compileSteps(); err != nil {
		return err
	}
	if err := g.plan(); err != nil {
		return err
	}
	if g.pool = g.opt.Pool; g.pool == nil {
		g.pool, g.ownPool = kernel.NewPool(g.opt.Threads), true
	}
	if g.opt.Debug >= 3 {
		return g.WritePlan(g.opt.Log)
	}
	return nil
}

// foldRest evaluates what was put off for the rewrites and what they made constant.
func (p *ir) foldRest() error {
	s := specializer{ir: p}
	for _, n := range p.nodes {
		if n.dead || !s.foldable(n) {
			continue
		}
		types := make([]Type, len(n.Outputs))
		for i, id := range n.Outputs {
			types[i] = p.val(id).typ
		}
		outs, err := p.fold(n, types)
		if err != nil {
			return err
		}
		for i, id := range n.Outputs {
			p.vals[id].konst, p.vals[id].def, p.vals[id].folded = &outs[i], nil, true
		}
		p.kill(n)
	}
	return nil
}

// step is one kernel call of a program.
type step struct {
	node    *irNode
	kernel  Kernel
	frame   Frame
	scratch int // buffer of the plan, -1 if none
	outputs []int
	inputs  []int
}

// compileSteps chooses kernels in execution order. Constants whose last reader has packed them are let go at once, so
// that packed and mapped weights are never both in memory as a whole.
func (g *Program) compileSteps() error {
	left := g.ir.constReaders()
	for _, n := range g.ir.nodes {
		if g.ir.isView(n) {
			g.stats.Views++
			g.releaseAbsorbed(n, nil, left)
			continue
		}
		k, err := g.ir.compileNode(n)
		if err != nil {
			return err
		}
		if k.Run == nil {
			return &RunError{Source: g.ir.src.Source, Node: n.Label(), Err: fmt.Errorf("internal fault: no kernel")}
		}
		if !n.back {
			g.forward = len(g.steps) + 1
		}
		g.steps = append(g.steps, step{node: n, kernel: k, scratch: -1})
		g.stats.Flops += k.Flops
		g.releaseAbsorbed(n, k.Absorbed, left)
	}
	g.stats.Steps = len(g.steps)
	for _, n := range g.ir.packed {
		g.stats.PackedBytes += n
	}
	return nil
}

// isView reports whether output 0 of a node can simply be the bytes of input 0.
func (p *ir) isView(n *irNode) bool {
	if len(n.Inputs) == 0 || n.Inputs[0] == None || len(n.Outputs) == 0 {
		return false
	}
	in, out := p.val(n.Inputs[0]), p.val(n.Outputs[0])
	if in.typ.Storage() != out.typ.Storage() || in.typ.Bytes() != out.typ.Bytes() {
		return false
	}
	for _, id := range n.Outputs[1:] {
		if p.val(id).uses > 0 {
			return false
		}
	}
	if n.op.View {
		return true
	}
	// A cast from a half type to float32 changes nothing in storage; a cast to a half type rounds.
	return n.is("Cast") && (out.typ.DType == tensor.F32 || out.typ.DType == in.typ.DType)
}

// constReaders counts, by memory, how many operands read each constant.
func (p *ir) constReaders() map[*byte]int {
	left := map[*byte]int{}
	for _, n := range p.nodes {
		for _, id := range n.Inputs {
			if b := p.constBytes(id); b != nil {
				left[b]++
			}
		}
	}
	for _, o := range p.outputs {
		if b := p.constBytes(o.value); b != nil {
			left[b]++
		}
	}
	return left
}

func (p *ir) constBytes(id ValueID) *byte {
	if id == None || p.val(id).konst == nil || len(p.val(id).konst.Data) == 0 {
		return nil
	}
	return unsafe.SliceData(p.val(id).konst.Data)
}

// releaseAbsorbed marks absorbed operands and lets the memory of constants go that no kernel will read.
func (g *Program) releaseAbsorbed(n *irNode, absorbed []int, left map[*byte]int) {
	for _, i := range absorbed {
		id := n.in(i)
		b := g.ir.constBytes(id)
		if b == nil {
			continue
		}
		n.absorb(i)
		left[b]--
		v := g.ir.val(id)
		if g.opt.Release != nil && (left[b] == 0 || g.ir.lean) { // a lean reverse pass reads it again, one weight at a time
			g.opt.Release(v.konst.Data)
		}
		if left[b] > 0 {
			continue
		}
		if v.folded {
			v.konst = nil
		}
	}
}

// absorb records that input i is not bound at run time.
func (n *irNode) absorb(i int) {
	if n.absorbed == nil {
		n.absorbed = make([]bool, len(n.Inputs))
	}
	n.absorbed[i] = true
}
