package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Concat", Since: 4, Infer: inferConcat, Compile: compileConcat, VJP: concatVJP})
	Register(Operator{Name: "Split", Since: 1, Infer: inferSplit, Compile: compileSplit, VJP: splitVJP})
}

func inferConcat(c *NodeCtx) error {
	if err := checkArity(c, 1, math.MaxInt, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	if err := checkSameType(c, 0, len(c.In)); err != nil {
		return err
	}
	if a, ok := c.Attr("axis"); !ok || a.Kind != AttrInt {
		return badNode(c, "lacks integer attribute axis")
	}
	shape := append([]int{}, c.In[0].Shape...)
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(shape))
	if err != nil {
		return err
	}
	for i := 1; i < len(c.In); i++ {
		s := c.In[i].Shape
		if !c.In[i].Present || len(s) != len(shape) {
			return badInput(c, i, "of shape %v cannot be joined to shape %v", s, c.In[0].Shape)
		}
		for d := range s {
			if d != axis && s[d] != shape[d] {
				return badInput(c, i, "of shape %v cannot be joined to shape %v along axis %d", s, c.In[0].Shape, axis)
			}
		}
		shape[axis] += s[axis]
	}
	return out1(c, c.In[0].DType, shape)
}

// piece is a run of bytes that each outer index contributes to, or takes from, the joined tensor.
type piece struct {
	at, size int
}

// pieces lays out parts of the joined tensor along its axis, in bytes per outer index.
func pieces(dt tensor.DType, shapes [][]int, axis int) (outer, total int, ps []piece) {
	outer = numElems(shapes[0][:axis])
	for _, s := range shapes {
		n := numElems(s[axis:]) * storage(dt).Size()
		ps = append(ps, piece{total, n})
		total += n
	}
	return outer, total, ps
}

func compileConcat(c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	shapes := make([][]int, len(c.In))
	for i := range c.In {
		shapes[i] = c.In[i].Shape
	}
	outer, total, ps := pieces(c.In[0].DType, shapes, axis)
	return run(func(f *Frame) {
		for i, p := range ps {
			copyPieces(f.Pool, f.Out[0].Data[min(p.at, len(f.Out[0].Data)):], f.In[i].Data, outer, p.size, total, p.size)
		}
	}), nil
}

// copyPieces copies outer runs of size bytes between tensors whose runs begin dstStep and srcStep bytes apart.
func copyPieces(p *kernel.Pool, dst, src []byte, outer, size, dstStep, srcStep int) {
	if outer == 0 || size == 0 {
		return
	}
	if outer == 1 {
		copyBytes(p, dst[:size], src[:size])
		return
	}
	rowTasks(p, outer, size/4, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			copy(dst[i*dstStep:][:size], src[i*srcStep:])
		}
	})
}

// splitSizes returns the sizes along axis: from the attribute before opset 13, then from input 1, else equal parts (from
// opset 18 with num_outputs, where the last part may be smaller).
func splitSizes(c *NodeCtx, n int) ([]int64, error) {
	outs := len(c.Node.Outputs)
	sizes, given := c.AttrInts("split")
	if c.Node.Opset >= 13 {
		if given = c.Has(1); given {
			var err error
			if sizes, err = c.ConstInts(1); err != nil {
				return nil, err
			}
		}
	}
	if given {
		return checkSplit(c, sizes, n)
	}
	if want := c.AttrInt("num_outputs", int64(outs)); want != int64(outs) {
		return nil, badNode(c, "has %d outputs and num_outputs %d", outs, want)
	}
	if c.Node.Opset < 18 && n%outs != 0 {
		return nil, badNode(c, "size %d does not divide into %d equal parts", n, outs)
	}
	part := (n + outs - 1) / outs
	if part*(outs-1) > n {
		return nil, badNode(c, "size %d does not divide into %d parts", n, outs)
	}
	sizes = make([]int64, outs)
	for i := range sizes {
		sizes[i] = int64(part)
	}
	sizes[outs-1] = int64(n - part*(outs-1))
	return sizes, nil
}

func checkSplit(c *NodeCtx, sizes []int64, n int) ([]int64, error) {
	left := int64(n)
	for _, s := range sizes {
		if s < 0 || s > left {
			return nil, badNode(c, "parts %v do not fit size %d", sizes, n)
		}
		left -= s
	}
	if left != 0 || len(sizes) != len(c.Node.Outputs) {
		return nil, badNode(c, "parts %v do not cover size %d with %d outputs", sizes, n, len(c.Node.Outputs))
	}
	return sizes, nil
}

func inferSplit(c *NodeCtx) error {
	hi := 2
	if c.Node.Opset >= 2 && c.Node.Opset < 13 {
		hi = 1
	}
	if err := checkArity(c, 1, hi, 1, math.MaxInt); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	in := c.In[0].Shape
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(in))
	if err != nil {
		return err
	}
	sizes, err := splitSizes(c, in[axis])
	if err != nil {
		return err
	}
	types := make([]Type, len(sizes))
	for i, n := range sizes {
		shape := append([]int{}, in...)
		shape[axis] = int(n)
		types[i] = Type{c.In[0].DType, shape}
	}
	return setOut(c, types...)
}

func compileSplit(c *NodeCtx) (Kernel, error) {
	axis, err := normAxis(c, c.AttrInt("axis", 0), len(c.In[0].Shape))
	if err != nil {
		return Kernel{}, err
	}
	shapes := make([][]int, len(c.Out))
	for i := range c.Out {
		shapes[i] = c.Out[i].Shape
	}
	outer, total, ps := pieces(c.In[0].DType, shapes, axis)
	return run(func(f *Frame) {
		for i, p := range ps {
			copyPieces(f.Pool, f.Out[i].Data, f.In[0].Data[min(p.at, len(f.In[0].Data)):], outer, p.size, p.size, total)
		}
	}), nil
}

func concatVJP(b *Backward) error {
	axis, err := normAxis(b.NodeCtx, b.AttrInt("axis", 0), len(b.In[0].Shape))
	if err != nil {
		return err
	}
	at := 0
	for i, in := range b.In {
		n := in.Shape[axis]
		if b.Needs(i) && n == b.Out[0].Shape[axis] {
			b.Give(i, b.G(0))
		} else if b.Needs(i) {
			b.Give(i, b.Slice(b.G(0), axis, at, at+n))
		}
		at += n
	}
	return nil
}

// splitVJP joins the parts' cotangents; a part that nothing depends on counts as zeros.
func splitVJP(b *Backward) error {
	axis, err := normAxis(b.NodeCtx, b.AttrInt("axis", 0), len(b.In[0].Shape))
	if err != nil {
		return err
	}
	parts := make([]ValueID, len(b.Out))
	for i, t := range b.Out {
		if parts[i] = b.G(i); parts[i] != None {
			continue
		}
		if t.Shape == nil { // the node does not have this output
			t = b.splitPart(axis, i)
		}
		parts[i] = b.Zeros(t)
	}
	b.Give(0, b.concat(axis, parts...))
	return nil
}

// splitPart is the type of part i of a Split.
func (b *Backward) splitPart(axis, i int) Type {
	shape := append([]int{}, b.In[0].Shape...)
	sizes, err := splitSizes(b.NodeCtx, shape[axis])
	if err != nil {
		b.fail(err)
		return Type{}
	}
	shape[axis] = int(sizes[i])
	return Type{b.In[0].DType, shape}
}
