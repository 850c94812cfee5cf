package graph

import (
	"fmt"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// fastConvTranspose returns a kernel made of matrix products for float32 storage, one group and pictures or rows: a
// convolution with the weights turned around for stride 1, a product whose columns are scattered otherwise. These are the
// input gradients of a network's convolutions. ok is false when neither applies.
func fastConvTranspose(c *NodeCtx, p *transposed) (k Kernel, ok bool) {
	if p.group != 1 || len(p.in) > 2 || c.Out[0].Elems() == 0 {
		return k, false
	}
	if s, ok := p.asConv(c.In[0].Shape[0]); ok {
		return transposedConv(c, s), true
	}
	return columnConvTranspose(c, p), true
}

// asConv is the convolution that does the same for stride 1: x padded by what the kernel reaches over, less the pads.
func (p *transposed) asConv(n int) (s kernel.ConvSpec, ok bool) {
	s = kernel.ConvSpec{N: n, Cin: p.cin, H: 1, Cout: p.cout, KH: 1, StrideH: 1, DilH: 1, StrideW: 1, Groups: 1}
	last := len(p.in) - 1
	pad := func(i int) (begin, end int) {
		begin = p.dil[i]*(p.kernel[i]-1) - p.begin[i]
		return begin, p.out[i] - p.in[i] + p.dil[i]*(p.kernel[i]-1) - begin
	}
	s.W, s.KW, s.DilW = p.in[last], p.kernel[last], p.dil[last]
	s.PadL, s.PadR = pad(last)
	if last == 1 {
		s.H, s.KH, s.DilH = p.in[0], p.kernel[0], p.dil[0]
		s.PadT, s.PadB = pad(0)
	}
	for i := range p.in {
		if p.stride[i] != 1 {
			return s, false
		}
	}
	return s, min(s.PadT, s.PadL, s.PadB, s.PadR) >= 0
}

// transposedConv runs the convolution s over weights that are packed once, or in each call when they are computed by the
// graph or memory is to be saved.
func transposedConv(c *NodeCtx, s kernel.ConvSpec) Kernel {
	k := Kernel{Flops: convFlops(s)}
	own, size := kernel.ConvScratch(max(1, c.Threads), s), 0
	packed := packTransposedConv(c, s)
	if packed != nil {
		k.Absorbed = []int{1}
	} else {
		size = kernel.TransposedConvSize(s)
	}
	k.Scratch = own + size
	k.Run = func(f *Frame) error {
		w := packed
		if w == nil {
			w = kernel.PackTransposedConv(tensor.F32, f.In[1].Data, s, f.Scratch[own:][:size])
			if c.In[1].Const != nil {
				c.Used(1)
			}
		}
		ep := kernel.Epilogue{RowBias: optional[float32](f, 2)}
		kernel.Conv2D(f.Pool, f.Scratch[:own], view[float32](f.Out[0]), view[float32](f.In[0]), w, s, ep)
		return nil
	}
	return k
}

// packTransposedConv packs constant weights; nil: they are packed in each call.
func packTransposedConv(c *NodeCtx, s kernel.ConvSpec) *kernel.PackedConv {
	t := c.In[1].Const
	if t == nil || storage(t.DType) != tensor.F32 {
		return nil
	}
	kind := fmt.Sprintf("convT/%d/%d/%d/%d/%v", s.Cin, s.Cout, s.KH, s.KW, t.DType)
	if t.DType == tensor.F32 && c.Repack(1, kind) {
		return nil
	}
	return c.Packed(1, kind, func() (any, int) {
		w := kernel.PackTransposedConv(t.DType, t.Data, s, nil)
		return w, w.Bytes()
	}).(*kernel.PackedConv)
}

// columnConvTranspose multiplies the weights, seen as [Cin, Cout·taps], with every picture and adds the rows of the
// product up where their taps point.
func columnConvTranspose(c *NodeCtx, p *transposed) Kernel {
	pixels, taps := numElems(p.in), numElems(p.kernel)
	m := p.cout * taps
	threads := max(1, c.Threads)
	var packed *kernel.Packed
	if t := c.In[1].Const; t != nil && storage(t.DType) == tensor.F32 {
		kind := fmt.Sprintf("convTcol/%d/%d/%v", p.cin, m, t.DType)
		if t.DType != tensor.F32 || !c.Repack(1, kind) {
			packed = c.Packed(1, kind, func() (any, int) {
				w := kernel.PackA(kernel.Source{DType: t.DType, Data: t.Data, RowStride: 1, ColStride: m}, m, p.cin)
				return w, w.Bytes()
			}).(*kernel.Packed)
		}
	}
	own := kernel.GemmScratch(threads, m, pixels, p.cin, packed != nil, false)
	k := Kernel{Scratch: own + m*pixels, Flops: 2 * float64(c.In[0].Shape[0]) * float64(m) * float64(pixels) * float64(p.cin)}
	if packed != nil {
		k.Absorbed = []int{1}
	}
	k.Run = func(f *Frame) error {
		x, dst, bias := view[float32](f.In[0]), view[float32](f.Out[0]), optional[float32](f, 2)
		columns := f.Scratch[own:][:m*pixels]
		for n := range c.In[0].Shape[0] {
			g := kernel.GemmArgs{
				M: m, N: pixels, K: p.cin, PA: packed, B: kernel.RowMajor(x[n*p.cin*pixels:], pixels), C: columns, LDC: pixels,
			}
			if packed == nil {
				g.A = kernel.RowMajor(view[float32](f.In[1]), m).Transposed()
			}
			kernel.Gemm(f.Pool, f.Scratch[:own], g)
			p.scatterColumns(f.Pool, dst[n*p.cout*numElems(p.out):], columns, bias)
		}
		if c.In[1].Const != nil && packed == nil {
			c.Used(1)
		}
		return nil
	}
	return k
}

// scatterColumns adds the rows of columns [Cout·taps, pixels] to the planes of one picture.
func (p *transposed) scatterColumns(pool *kernel.Pool, dst, columns, bias []float32) {
	size, pixels, taps := numElems(p.out), numElems(p.in), numElems(p.kernel)
	rowTasks(pool, p.cout, taps*pixels, func(lo, hi int) {
		for co := lo; co < hi; co++ {
			y := dst[co*size:][:size]
			b := float32(0)
			if bias != nil {
				b = bias[co]
			}
			fillWith(y, b)
			for tap := range taps {
				p.scatterTap(y, columns[(co*taps+tap)*pixels:][:pixels], tap)
			}
		}
	})
}

// scatterTap adds what one tap of the kernel contributes to a plane, row by row.
func (p *transposed) scatterTap(y, src []float32, tap int) {
	last := len(p.in) - 1
	w, ow := p.in[last], p.out[last]
	dx := tap%p.kernel[last]*p.dil[last] - p.begin[last]
	rows, oh, stride, dy := 1, 1, 1, 0
	if last == 1 {
		rows, oh, stride, dy = p.in[0], p.out[0], p.stride[0], tap/p.kernel[1]*p.dil[0]-p.begin[0]
	}
	for r := range rows {
		oy := r*stride + dy
		if oy < 0 || oy >= oh {
			continue
		}
		out := y[oy*ow:][:ow]
		for i, v := range src[r*w:][:w] {
			if o := i*p.stride[last] + dx; o >= 0 && o < ow {
				out[o] += v
			}
		}
	}
}
