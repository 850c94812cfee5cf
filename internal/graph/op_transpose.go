package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Transpose", Since: 1, Infer: inferTranspose, Compile: compileTranspose, VJP: transposeVJP})
	Register(Operator{Name: "DepthToSpace", Since: 1, Infer: inferDepthToSpace, Compile: compileDepthToSpace, VJP: blocksVJP(depthToSpacePerm)})
	Register(Operator{Name: "SpaceToDepth", Since: 1, Infer: inferSpaceToDepth, Compile: compileSpaceToDepth, VJP: blocksVJP(spaceToDepthPerm)})
}

// permOf reads attribute perm; the default reverses the dimensions.
func permOf(c *NodeCtx) ([]int, error) {
	rank := len(c.In[0].Shape)
	perm := make([]int, rank)
	v, ok := c.AttrInts("perm")
	if !ok {
		for i := range perm {
			perm[i] = rank - 1 - i
		}
		return perm, nil
	}
	if len(v) != rank {
		return nil, badNode(c, "perm %v has not the rank of an input of shape %v", v, c.In[0].Shape)
	}
	seen := make([]bool, rank)
	for i, p := range v {
		if p < 0 || p >= int64(rank) || seen[p] {
			return nil, badNode(c, "perm %v is no permutation", v)
		}
		seen[p] = true
		perm[i] = int(p)
	}
	return perm, nil
}

func inferTranspose(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return err
	}
	perm, err := permOf(c)
	if err != nil {
		return err
	}
	shape := make([]int, len(perm))
	for i, p := range perm {
		shape[i] = c.In[0].Shape[p]
	}
	return out1(c, c.In[0].DType, shape)
}

func compileTranspose(c *NodeCtx) (Kernel, error) {
	perm, err := permOf(c)
	if err != nil {
		return Kernel{}, err
	}
	return transposeKernel(c.In[0].DType, c.In[0].Shape, perm), nil
}

// transposeKernel permutes the dimensions of a tensor of the given shape.
func transposeKernel(dt tensor.DType, shape, perm []int) Kernel {
	size := storage(dt).Size()
	return run(func(f *Frame) {
		if len(f.Out[0].Data) > 0 {
			kernel.TransposeBytes(f.Pool, f.Out[0].Data, f.In[0].Data, size, shape, perm)
		}
	})
}

// blockSize reads attributes blocksize and mode and checks the input.
func blockSize(c *NodeCtx) (int, error) {
	if err := checkArity(c, 1, 1, 1, 1); err != nil {
		return 0, err
	}
	if err := checkClass(c, 0, classStored); err != nil {
		return 0, err
	}
	if err := checkRank(c, 0, 4, 4); err != nil {
		return 0, err
	}
	b := c.AttrInt("blocksize", 0)
	if b < 1 || b > maxWindow {
		return 0, badNode(c, "attribute blocksize = %d is out of range", b)
	}
	if mode := c.AttrString("mode", "DCR"); mode != "DCR" && mode != "CRD" {
		return 0, c.Refuse("mode", "want DCR or CRD, not "+mode)
	}
	return int(b), nil
}

func inferDepthToSpace(c *NodeCtx) error {
	b, err := blockSize(c)
	if err != nil {
		return err
	}
	s := c.In[0].Shape
	if s[1]%(b*b) != 0 {
		return badInput(c, 0, "has %d channels, no multiple of blocksize² = %d", s[1], b*b)
	}
	return out1(c, c.In[0].DType, []int{s[0], s[1] / (b * b), s[2] * b, s[3] * b})
}

// depthToSpacePerm is the shape and the permutation that the operator amounts to.
func depthToSpacePerm(c *NodeCtx) (shape, perm []int) {
	b, s := int(c.AttrInt("blocksize", 1)), c.In[0].Shape
	if c.AttrString("mode", "DCR") == "CRD" {
		return []int{s[0], s[1] / (b * b), b, b, s[2], s[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return []int{s[0], b, b, s[1] / (b * b), s[2], s[3]}, []int{0, 3, 4, 1, 5, 2}
}

func compileDepthToSpace(c *NodeCtx) (Kernel, error) {
	shape, perm := depthToSpacePerm(c)
	return transposeKernel(c.In[0].DType, shape, perm), nil
}

func inferSpaceToDepth(c *NodeCtx) error {
	b, err := blockSize(c)
	if err != nil {
		return err
	}
	s := c.In[0].Shape
	if s[2]%b != 0 || s[3]%b != 0 {
		return badInput(c, 0, "of shape %v has no sides that are multiples of blocksize %d", s, b)
	}
	if s[1] > 0 && b > maxElems/b/s[1] {
		return badInput(c, 0, "of shape %v is too large", s)
	}
	return out1(c, c.In[0].DType, []int{s[0], s[1] * b * b, s[2] / b, s[3] / b})
}

// spaceToDepthPerm is the shape and the permutation that the operator amounts to.
func spaceToDepthPerm(c *NodeCtx) (shape, perm []int) {
	b, s := int(c.AttrInt("blocksize", 1)), c.In[0].Shape
	perm = []int{0, 3, 5, 1, 2, 4}
	if c.AttrString("mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	return []int{s[0], s[1], s[2] / b, b, s[3] / b, b}, perm
}

func compileSpaceToDepth(c *NodeCtx) (Kernel, error) {
	shape, perm := spaceToDepthPerm(c)
	return transposeKernel(c.In[0].DType, shape, perm), nil
}

func transposeVJP(b *Backward) error {
	perm, err := permOf(b.NodeCtx)
	if err != nil {
		return err
	}
	b.Give(0, b.Transpose(b.G(0), inverse(perm)...))
	return nil
}

// inverse is the permutation that undoes perm.
func inverse(perm []int) []int {
	back := make([]int, len(perm))
	for i, p := range perm {
		back[p] = i
	}
	return back
}

// blocksVJP moves the blocks back.
func blocksVJP(blocks func(c *NodeCtx) (shape, perm []int)) func(b *Backward) error {
	return elementwise(func(b *Backward) ValueID {
		shape, perm := blocks(b.NodeCtx)
		moved := make([]int, len(perm))
		for i, p := range perm {
			moved[i] = shape[p]
		}
		return b.Reshape(b.Transpose(b.Reshape(b.G(0), moved...), inverse(perm)...), b.In[0].Shape...)
	})
}
