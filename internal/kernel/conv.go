package kernel

// ConvSpec describes a two-dimensional convolution over NCHW data. Weights are
// [Cout, Cin/Groups, KH, KW]. Zero strides, dilations and groups mean 1.
type ConvSpec struct {
	N, Cin, H, W, Cout     int
	KH, KW                 int
	StrideH, StrideW       int
	PadT, PadL, PadB, PadR int
	DilH, DilW             int
	Groups                 int
}

// filled returns the spec with its zero fields replaced by their meaning.
func (s ConvSpec) filled() ConvSpec {
	for _, f := range []*int{&s.StrideH, &s.StrideW, &s.DilH, &s.DilW, &s.Groups} {
		if *f == 0 {
			*f = 1
		}
	}
	return s
}

// OutH returns the height of the result.
func (s ConvSpec) OutH() int {
	s = s.filled()
	return (s.H+s.PadT+s.PadB-s.DilH*(s.KH-1)-1)/s.StrideH + 1
}

// OutW returns the width of the result.
func (s ConvSpec) OutW() int {
	s = s.filled()
	return (s.W+s.PadL+s.PadR-s.DilW*(s.KW-1)-1)/s.StrideW + 1
}

// PackedConv is the weights of one convolution in the order in which the kernels read
// them. It is read-only and may be shared.
type PackedConv struct {
	level  level
	groups []*Packed
	direct []float32 // plain copy, when the groups are too narrow for a matrix product
}

// Bytes returns the memory that the packed weights take.
func (w *PackedConv) Bytes() int {
	n := 4 * len(w.direct)
	for _, g := range w.groups {
		n += g.Bytes()
	}
	return n
}

// narrowGroup is the number of output channels of a group below which a convolution
// with several groups is computed plane by plane.
const narrowGroup = 4

// PackConv packs convolution weights: src is the matrix [Cout, Cin/Groups·KH·KW].
func PackConv(src Source, s ConvSpec) *PackedConv {
	s = s.filled()
	k, m := s.Cin/s.Groups*s.KH*s.KW, s.Cout/s.Groups
	src.check("convolution weights", s.Cout, k)
	w := &PackedConv{level: selected}
	if s.Groups > 1 && m < narrowGroup {
		w.direct = make([]float32, s.Cout*k)
		for i := range s.Cout {
			src.widen(w.direct[i*k:], i*src.RowStride, src.ColStride, k)
		}
		return w
	}
	for g := range s.Groups {
		part := src
		part.Data = src.Data[g*m*src.RowStride*src.DType.Size():]
		w.groups = append(w.groups, PackA(part, m, k))
	}
	return w
}

// planConv plans one group. Blocks of K are whole channels, so that packing needs no
// division inside its loop.
func planConv(l level, threads int, s ConvSpec) gemmPlan {
	_, nr := l.geometry()
	taps := s.KH * s.KW
	n := s.N * roundUp(s.OutH()*s.OutW(), nr)
	if joint := s.joint(nr); joint > 1 {
		n = ceilDiv(s.N, joint) * nr
	}
	g := planGemm(l, threads, s.Cout/s.Groups, n, s.Cin/s.Groups*taps, true, false)
	if g.kBlock = max(1, kBlock/taps) * taps; g.bSize > 0 {
		g.bSize = g.panels * nr * min(g.k, g.kBlock)
	}
	if taps > 1 {
		g.depth = g.kBlock // the taps of a channel share its pages already
	}
	return g
}

// ConvScratch returns the scratch elements that [Conv2D] needs on a pool of the given
// threads, for any implementation.
func ConvScratch(threads int, s ConvSpec) int {
	s = s.filled()
	most := 0
	for l := levelRef; l <= bestLevel(); l++ {
		g := planConv(l, threads, s)
		most = max(most, g.total(threads))
	}
	return most + alignSlack
}

// Conv2D convolves src [N, Cin, H, W] into dst [N, Cout, OutH, OutW]. In the epilogue
// RowBias has one number per output channel, Residual is laid out as dst, and
// ColBias must be nil. scratch must hold ConvScratch elements; nil lets it allocate.
func Conv2D(p *Pool, scratch, dst, src []float32, w *PackedConv, s ConvSpec, ep Epilogue) {
	s = s.filled()
	pixels := s.OutH() * s.OutW()
	need("convolution input", len(src), s.N*s.Cin*s.H*s.W)
	need("convolution output", len(dst), s.N*s.Cout*pixels)
	ep.check(s.Cout, 0, 0)
	if ep.Residual != nil {
		need("residual", len(ep.Residual), s.N*s.Cout*pixels)
	}
	if s.N*pixels == 0 {
		return
	}
	if w.direct != nil {
		p.Run(s.N*s.Cout, func(_, i int) { convPlane(dst, src, w.direct, s, ep, i/s.Cout, i%s.Cout) })
		return
	}
	scratch = aligned(scratch, ConvScratch(p.Threads(), s)-alignSlack)
	m := s.Cout / s.Groups
	_, nr := w.level.geometry()
	table := newConvTable(p, nr, s)
	for i, packed := range w.groups {
		cols := &convGroup{table, w.level, src, i * (s.Cin / s.Groups)}
		r := gemmRun{gemmPlan: planConv(w.level, p.Threads(), s), cols: cols}
		if table.joint > 1 {
			r.each, r.apart = pixels, s.Cout*pixels
		}
		packed.check(w.level, true, m, r.k)
		g := GemmArgs{M: m, N: r.n, K: r.k, PA: packed, C: dst[i*m*pixels:], LDC: pixels, Ep: ep.rows(i*m, pixels)}
		r.run(p, scratch, &g)
	}
}

// rows returns the epilogue for the rows from m0 on.
func (e Epilogue) rows(m0, ldc int) Epilogue {
	if e.RowBias != nil {
		e.RowBias = e.RowBias[m0:]
	}
	if e.Residual != nil {
		e.Residual = e.Residual[m0*ldc:]
	}
	return e
}
