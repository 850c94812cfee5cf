package kernel

import "winnow/internal/tensor"

// TransposedConvSize is the number of float32 numbers that [PackTransposedConv] needs for s, for any implementation.
func TransposedConvSize(s ConvSpec) int {
	most := 0
	for l := levelRef; l <= bestLevel(); l++ {
		mr, _ := l.geometry()
		most = max(most, roundUp(s.Cout, mr)*s.Cin*s.KH*s.KW)
	}
	return most
}

// PackTransposedConv packs the weights of another convolution so that [Conv2D] with s computes its transpose for stride 1:
// s has that convolution's output channels as Cin, its input channels as Cout, and one group. w are its weights
// [s.Cin, s.Cout, KH, KW] end to end (float32, float16 or bfloat16); they are read as they lie, exchanged and turned
// around on the way. into is used for the packed form when it holds TransposedConvSize numbers; nil allocates.
func PackTransposedConv(dt tensor.DType, w []byte, s ConvSpec, into []float32) *PackedConv {
	s = s.filled()
	taps := s.KH * s.KW
	src := Source{DType: dt, Data: w, RowStride: s.Cout * taps, ColStride: 1}
	src.check("transposed convolution weights", s.Cin, s.Cout*taps)
	p := &Packed{level: selected, left: true, outer: s.Cout, k: s.Cin * taps}
	mr, _ := selected.geometry()
	size := roundUp(s.Cout, mr) * p.k
	if into == nil {
		into = tensor.New(tensor.F32, size).F32()
	}
	need("packed transposed convolution", len(into), size)
	p.data = into[:size]
	p.split(ceilDiv(s.Cout, mr), func(from, to int) { p.packTransposed(src, s, mr, from, to) })
	return &PackedConv{level: selected, groups: []*Packed{p}}
}

// packTransposed fills panels from…to of output channels. For one input channel, a panel's weights lie together: [mr, taps].
func (p *Packed) packTransposed(src Source, s ConvSpec, mr, from, to int) {
	taps := s.KH * s.KW
	wide := make([]float32, mr*taps)
	for panel := from; panel < to; panel++ {
		first := panel * mr
		n := min(mr, s.Cout-first)
		for c := range s.Cin {
			dst := p.data[panel*mr*p.k+c*taps*mr:][:taps*mr]
			at := c*src.RowStride + first*taps
			block := wide[:n*taps]
			if src.DType == tensor.F32 {
				block = src.f32()[at : at+n*taps]
			} else {
				src.widen(block, at, 1, n*taps)
			}
			if n < mr {
				clear(dst)
			}
			p.level.transpose2D(dst, mr, block, taps, n, taps)
			turnAround(dst, taps, mr)
		}
	}
}

// turnAround reverses the order of n groups of size numbers.
func turnAround(x []float32, n, size int) {
	for i := range n / 2 {
		a, b := x[i*size:][:size], x[(n-1-i)*size:][:size]
		for j := range a {
			a[j], b[j] = b[j], a[j]
		}
	}
}
