package kernel

// PackedConv is the weights of one convolution, packed by [PackConv].
type PackedConv struct{ data []float32 }

// Bytes returns the memory that the packed weights take.
func (w *PackedConv) Bytes() int { return 4 * len(w.data) }

// PackConv packs convolution weights: src is the matrix [Cout, Cin/Groups·KH·KW].
func PackConv(src Source, s ConvSpec) *PackedConv {
	s = s.filled()
	return &PackedConv{pack(src, s.Cout, s.Cin/s.Groups*s.KH*s.KW).data}
}

// ConvScratch returns the scratch elements that [Conv2D] needs with the given threads.
func ConvScratch(threads int, s ConvSpec) int { return 0 }

// Conv2D convolves src [N, Cin, H, W] into dst [N, Cout, OutH, OutW]. In the epilogue
// RowBias has one number per output channel, Residual is laid out as dst, and
// ColBias must be nil. scratch must hold ConvScratch elements; nil lets it allocate.
func Conv2D(p *Pool, scratch, dst, src []float32, w *PackedConv, s ConvSpec, ep Epilogue) {
	s = s.filled()
	need("convolution input", len(src), s.N*s.Cin*s.H*s.W)
	need("convolution output", len(dst), s.N*s.Cout*s.OutH()*s.OutW())
	p.Run(s.N*s.Cout, func(_, i int) { convPlaneRef(dst, src, w.data, s, ep, i/s.Cout, i%s.Cout) })
}
