package kernel

import (
	"runtime"
	"sync"

	"winnow/internal/tensor"
)

// Packed is a weight matrix in the order in which the micro-kernels read it: panels
// of a few rows (left operand) or columns (right operand), each running down K. It is
// read-only and may be shared by any number of products.
type Packed struct {
	level level // whose tile it was packed for
	left  bool
	outer int // rows of a left operand, columns of a right one
	k     int
	data  []float32
}

// Bytes returns the memory that the packed matrix takes.
func (p *Packed) Bytes() int { return 4 * len(p.data) }

// PackA packs the m×k matrix src for use as the left operand of [Gemm].
func PackA(src Source, m, k int) *Packed {
	src.check("left matrix to pack", m, k)
	mr, _ := selected.geometry()
	return packSource(src, &Packed{level: selected, left: true, outer: m, k: k}, mr)
}

// PackB packs the k×n matrix src for use as the right operand of [Gemm].
func PackB(src Source, k, n int) *Packed {
	src.check("right matrix to pack", k, n)
	_, nr := selected.geometry()
	src.RowStride, src.ColStride = src.ColStride, src.RowStride
	return packSource(src, &Packed{level: selected, outer: n, k: k}, nr)
}

// packSource fills p from src, whose rows are the outer dimension and whose columns
// run along k. Half-precision numbers are widened strip by strip.
func packSource(src Source, p *Packed, width int) *Packed {
	panels := (p.outer + width - 1) / width
	p.data = tensor.New(tensor.F32, panels*width*p.k).F32()
	if src.DType == tensor.F32 {
		m := Mat{Data: src.f32(), RS: src.RowStride, CS: src.ColStride}
		p.split(panels, func(from, to int) {
			for i := from; i < to; i++ {
				p.level.packPanel(p.data[i*width*p.k:], width, m, i*width, min(width, p.outer-i*width), 0, p.k)
			}
		})
		return p
	}
	if src.ColStride == 1 || src.RowStride != 1 {
		p.split(panels, func(from, to int) { p.packHalfRows(src, width, from, to) })
	} else {
		p.packHalfColumns(src, width, panels)
	}
	return p
}

// split runs f over parts of the panels, on all processors when the matrix is large:
// loading a network is mostly packing, and packing mostly waiting for fresh memory.
func (p *Packed) split(panels int, f func(from, to int)) {
	const large = 1 << 19
	parts := runtime.GOMAXPROCS(0)
	if len(p.data) < large || parts == 1 {
		f(0, panels)
		return
	}
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { f(i*panels/parts, (i+1)*panels/parts) })
	}
	wg.Wait()
}

// packHalfRows widens the rows of one panel at a time: src is contiguous along k.
func (p *Packed) packHalfRows(src Source, width, from, to int) {
	strip := make([]float32, width*p.k)
	for i := from; i < to; i++ {
		rows := min(width, p.outer-i*width)
		for r := range rows {
			src.widen(strip[r*p.k:], (i*width+r)*src.RowStride, src.ColStride, p.k)
		}
		p.level.packPanel(p.data[i*width*p.k:], width, RowMajor(strip, p.k), 0, rows, 0, p.k)
	}
}

// packHalfColumns widens a few k at a time over all panels: src is contiguous along
// the outer dimension.
func (p *Packed) packHalfColumns(src Source, width, panels int) {
	const depth = 16
	strip := make([]float32, depth*p.outer)
	view := Mat{Data: strip, RS: 1, CS: p.outer}
	for k0 := 0; k0 < p.k; k0 += depth {
		kb := min(depth, p.k-k0)
		for l := range kb {
			src.widen(strip[l*p.outer:], (k0+l)*src.ColStride, 1, p.outer)
		}
		for i := range panels {
			dst := p.data[i*width*p.k+k0*width:]
			p.level.packPanel(dst, width, view, i*width, min(width, p.outer-i*width), 0, kb)
		}
	}
}

// packPanel writes rows r0…r0+rows of m, columns k0…k0+kb, as kb groups of width
// numbers; rows missing to width become 0.
func (l level) packPanel(dst []float32, width int, m Mat, r0, rows, k0, kb int) {
	dst = dst[:width*kb]
	if kb == 0 {
		return
	}
	src := m.Data[r0*m.RS+k0*m.CS:]
	switch {
	case m.RS == 1:
		l.copyRows(dst, width, src, m.CS, kb, rows, width)
	case m.CS == 1:
		if rows < width {
			clear(dst)
		}
		l.transpose2D(dst, width, src, m.RS, rows, kb)
	default:
		for i := range kb {
			group := dst[i*width:][:width]
			for r := range rows {
				group[r] = src[r*m.RS+i*m.CS]
			}
			clear(group[rows:])
		}
	}
}
