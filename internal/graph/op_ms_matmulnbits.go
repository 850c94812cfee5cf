package graph

import (
	"slices"

	"winnow/internal/tensor"
)

func init() { registerMicrosoft("MatMulNBits", lowerMatMulNBits) }

// blockWeights is a matrix [N,K] of 2-, 4- or 8-bit numbers, quantised in blocks along K.
type blockWeights struct {
	n, k, bits, block int
	data              []byte    // [N, blocks, block·bits/8], lowest bits first
	scales            []float32 // [N, blocks]
	zeros             []byte    // [N, ⌈blocks·bits/8⌉], nil: the middle of the range, unless floats is set
	floats            []float32 // zero points [N, blocks] that are no integers
}

func (w *blockWeights) blocks() int { return (w.k + w.block - 1) / w.block }

// lowerMatMulNBits is A·Wᵀ + bias with W [N,K] in few bits. The weights are widened when the graph is compiled, so it runs
// exactly and as fast as float32 weights, with their memory. Inputs: A, W, scales, zero points, g_idx (refused), bias [N].
func lowerMatMulNBits(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 3, 6, 1, 1); err != nil {
		return err
	}
	if err := refuseInputs(l, "reordered blocks (g_idx)", 4); err != nil {
		return err
	}
	if l.AttrInt("weight_prepacked", 0) != 0 {
		return l.Refuse("weight_prepacked", "weights in the private layout of one execution provider")
	}
	if err := checkFloats(l.NodeCtx, 0, 2, 5); err != nil {
		return err
	}
	w, err := readBlockWeights(l)
	if err != nil {
		return err
	}
	if l.In[0].DType == tensor.F64 {
		return badInput(l.NodeCtx, 0, "has type float64")
	}
	if s := l.In[0].Shape; len(s) < 1 || s[len(s)-1] != w.k {
		return badInput(l.NodeCtx, 0, "of shape %v does not fit weights with K = %d", s, w.k)
	}
	if err := checkShape(l.NodeCtx, 5, w.n); err != nil {
		return err
	}
	wide := l.Computed(tensor.FromF32(w.widen(), w.n, w.k), l.In[0].DType)
	y := l.Op("MatMul", l.Arg(0), l.Transpose(wide, 1, 0))
	l.Result(0, l.AddAll(y, l.As(l.Arg(5), l.In[0].DType)))
	return nil
}

// readBlockWeights checks attributes and the constant inputs 1, 2 and 3.
func readBlockWeights(l *Lowering) (*blockWeights, error) {
	size := func(name string, def int64) int { return int(min(max(l.AttrInt(name, def), 0), maxWindow)) }
	w := &blockWeights{n: size("N", 0), k: size("K", 0), bits: size("bits", 4), block: size("block_size", 0)}
	if float64(w.n)*float64(w.k) > maxFolded/4 {
		return nil, badNode(l.NodeCtx, "attributes N = %d, K = %d are more weights than any network needs", w.n, w.k)
	}
	if !slices.Contains([]int{2, 4, 8}, w.bits) {
		return nil, l.Refuse("bits", "2, 4 and 8 are known")
	}
	if w.n < 1 || w.k < 1 || w.block < 16 || w.block&(w.block-1) != 0 {
		return nil, badNode(l.NodeCtx, "attributes N = %d, K = %d, block_size = %d describe no weights", w.n, w.k, w.block)
	}
	data, err := l.constant(1)
	if err != nil {
		return nil, err
	}
	if want := w.n * w.blocks() * w.block * w.bits / 8; data.DType != tensor.U8 || len(data.Data) != want {
		return nil, badInput(l.NodeCtx, 1, "of type %v does not hold %d bytes", l.In[1].Type, want)
	}
	w.data = data.Data
	if w.scales, err = l.ConstF32(2); err != nil {
		return nil, err
	}
	if len(w.scales) != w.n*w.blocks() {
		return nil, badInput(l.NodeCtx, 2, "has shape %v, want [%d,%d]", l.In[2].Shape, w.n, w.blocks())
	}
	return w, w.readZeros(l)
}

// readZeros takes the zero points, packed like the weights or one float per block.
func (w *blockWeights) readZeros(l *Lowering) error {
	if !l.Has(3) {
		return nil
	}
	t, err := l.constant(3)
	if err != nil {
		return err
	}
	if t.DType.IsFloat() {
		if w.floats, err = l.ConstF32(3); err == nil && len(w.floats) != w.n*w.blocks() {
			err = badInput(l.NodeCtx, 3, "has shape %v, want [%d,%d]", l.In[3].Shape, w.n, w.blocks())
		}
		return err
	}
	if want := w.n * w.zeroBytes(); t.DType != tensor.U8 || len(t.Data) != want {
		return badInput(l.NodeCtx, 3, "of type %v does not hold %d bytes", l.In[3].Type, want)
	}
	w.zeros = t.Data
	return nil
}

func (w *blockWeights) zeroBytes() int { return (w.blocks()*w.bits + 7) / 8 }

// widen returns (number − zero point)·scale as [N,K].
func (w *blockWeights) widen() []float32 {
	out := make([]float32, w.n*w.k)
	blocks, per := w.blocks(), w.block*w.bits/8
	for i := range w.n * blocks {
		row, b := i/blocks, i%blocks
		zero := float32(int(1) << (w.bits - 1))
		switch {
		case w.floats != nil:
			zero = w.floats[i]
		case w.zeros != nil:
			zero = float32(bitsAt(w.zeros[row*w.zeroBytes():], b, w.bits))
		}
		src, dst := w.data[i*per:][:per], out[row*w.k+b*w.block:][:min(w.block, w.k-b*w.block)]
		for j := range dst {
			dst[j] = (float32(bitsAt(src, j, w.bits)) - zero) * w.scales[i]
		}
	}
	return out
}

// bitsAt reads number i of a row of numbers with 2, 4 or 8 bits each, lowest bits first.
func bitsAt(data []byte, i, bits int) byte {
	at := i * bits
	return data[at/8] >> (at % 8) & byte(1<<bits-1)
}
