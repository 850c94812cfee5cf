package graph

import (
	"fmt"

	"winnow/internal/tensor"
)

// infer runs an operator's shape inference. A panic of the operator is a defect of ours, yet must not take a user's
// process down: it becomes an error that names the node.
func (p *ir) infer(n *irNode) (out []Type, err error) {
	c := p.context(n)
	defer p.recoverInto(n, &err)
	if err := n.op.Infer(c); err != nil {
		return nil, err
	}
	if len(c.Out) < len(n.Outputs) {
		return nil, c.ShapeErrorf(-1, "the node declares %d outputs, the operator has %d", len(n.Outputs), len(c.Out))
	}
	for i, t := range c.Out {
		if _, err := tensor.Elems(t.Shape); err != nil {
			return nil, c.ShapeErrorf(-1, "output %d: %v", i, err)
		}
	}
	return c.Out, nil
}

// compileNode lets the operator choose its kernel.
func (p *ir) compileNode(n *irNode) (k Kernel, err error) {
	c := p.context(n)
	for _, id := range n.Outputs {
		if id != None {
			c.Out = append(c.Out, p.val(id).typ)
		}
	}
	defer p.recoverInto(n, &err)
	return n.op.Compile(c)
}

func (p *ir) recoverInto(n *irNode, err *error) {
	if r := recover(); r != nil {
		*err = &RunError{Source: p.src.Source, Node: n.Label(), Err: fmt.Errorf("internal fault: %v", r)}
	}
}

// maxFolded bounds the size of a constant that the compiler computes, so that a hostile file cannot fill the memory.
const maxFolded = 4 << 30

// fold evaluates a node whose inputs are all known and returns its outputs.
func (p *ir) fold(n *irNode, types []Type) (out []tensor.Tensor, err error) {
	c := p.context(n)
	c.Out, c.Threads, c.packs, c.packed = types, 1, nil, nil
	defer p.recoverInto(n, &err)
	k, err := n.op.Compile(c)
	if err != nil {
		return nil, err
	}
	f := &Frame{In: make([]tensor.Tensor, len(c.In)), Scratch: make([]float32, k.Scratch)}
	for i, in := range c.In {
		switch {
		case in.Const != nil:
			f.In[i] = stored(*in.Const, in.Type)
		case in.Present: // ShapeOnly operators read no contents
			f.In[i] = tensor.Tensor{DType: in.Storage(), Shape: in.Shape}
		}
	}
	for i, t := range types {
		if t.Bytes() > maxFolded {
			return nil, c.ShapeErrorf(-1, "output %d, %v, is a constant of %.1f GiB, more than any network needs", i, t, gib(t.Bytes()))
		}
		f.Out = append(f.Out, tensor.New(t.Storage(), t.Shape...))
	}
	if err := k.Run(f); err != nil {
		return nil, &RunError{Source: p.src.Source, Node: n.Label(), Err: err}
	}
	return f.Out, nil
}

// stored returns a constant in the type that kernels see: half types widened.
func stored(t tensor.Tensor, typ Type) tensor.Tensor {
	if t.DType == tensor.F16 || t.DType == tensor.BF16 {
		return tensor.FromF32(t.Float32s(), t.Shape...)
	}
	return tensor.Tensor{DType: t.DType, Shape: typ.Shape, Data: t.Data}
}
