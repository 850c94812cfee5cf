package kernel

import "winnow/internal/tensor"

// PackedUpConv is the weights of a 3×3 convolution with padding 1 behind a doubling of the picture by nearest neighbours, packed for
// [UpConv2D]: every other pixel of the result sees four different pixels of the picture only, so that there are four
// convolutions of 2×2 taps over the small picture, one for the even and odd rows and columns each. It is read-only and may be shared.
type PackedUpConv struct{ phases [4]*PackedConv }

// Bytes returns the memory that the packed weights take.
func (w *PackedUpConv) Bytes() int {
	n := 0
	for _, p := range w.phases {
		n += p.Bytes()
	}
	return n
}

// PackUpConv packs weights [Cout, Cin, 3, 3]. Taps that fall on one pixel are added up in float64.
func PackUpConv(w []float32, cin, cout int) *PackedUpConv {
	need("weights of an upsampling convolution", len(w), cout*cin*9)
	out := &PackedUpConv{}
	for phase := range out.phases {
		sums := tensor.New(tensor.F32, cout, cin, 2, 2).F32()
		for i := range cout * cin {
			upTaps(sums[4*i:][:4], w[9*i:][:9], phase/2, phase%2)
		}
		s := upPhase(ConvSpec{Cin: cin, Cout: cout}, phase)
		out.phases[phase] = PackConv(SourceF32(sums, 4*cin, 1), s)
	}
	return out
}

// upTaps adds up the taps of w [3, 3] that see the same pixel in rows and columns of the given parity: in even ones the first tap is
// alone, in odd ones the last.
func upTaps(sums, w []float32, oddRow, oddColumn int) {
	var to [4]float64
	for t, v := range w {
		to[(t/3+1-oddRow)/2*2+(t%3+1-oddColumn)/2] += float64(v)
	}
	for i, v := range to {
		sums[i] = float32(v)
	}
}

// upPhase is the convolution of a phase: 0 for even rows and columns, 1 for odd columns, 2 for odd rows, 3 for both.
func upPhase(s ConvSpec, phase int) ConvSpec {
	y, x := phase/2, phase%2
	return ConvSpec{N: s.N, Cin: s.Cin, H: s.H, W: s.W, Cout: s.Cout, KH: 2, KW: 2, PadT: 1 - y, PadB: y, PadL: 1 - x, PadR: x}.filled()
}

// upBatch is how many pictures are computed at a time: about 4 MB of results that are still to be put in their places.
func upBatch(s ConvSpec) int { return min(s.N, max(1, 1<<20/max(1, 2*s.Cout*s.H*s.W))) }

// UpConvScratch returns the scratch elements that [UpConv2D] needs on a pool of the given threads, for any implementation.
func UpConvScratch(threads int, s ConvSpec) int {
	batch, most := upBatch(s), 0
	for _, n := range []int{batch, s.N % max(1, batch)} {
		part := s
		part.N = n
		for phase := 0; phase < 4 && n > 0; phase++ {
			most = max(most, ConvScratch(threads, upPhase(part, phase)))
		}
	}
	return roundUp(most, 16) + 2*batch*s.Cout*s.H*s.W
}

// UpConv2D doubles src [N, Cin, H, W] by nearest neighbours and convolves it into dst [N, Cout, 2H, 2W]; of s it reads these sizes.
// bias has one number per output channel, or is nil. scratch must hold UpConvScratch elements; nil lets it allocate.
func UpConv2D(p *Pool, scratch, dst, src []float32, w *PackedUpConv, s ConvSpec, bias []float32) {
	in, out := s.Cin*s.H*s.W, s.Cout*s.H*s.W
	need("upsampling convolution input", len(src), s.N*in)
	need("upsampling convolution output", len(dst), 4*s.N*out)
	if scratch == nil {
		scratch = make([]float32, UpConvScratch(p.Threads(), s))
	}
	part := s
	for n := 0; n < s.N; n += part.N {
		part.N = min(upBatch(s), s.N-n)
		halves, own := scratch[:2*part.N*out], scratch[2*part.N*out:]
		for oddRow := range 2 {
			for oddColumn := range 2 {
				phase := 2*oddRow + oddColumn
				Conv2D(p, own, halves[oddColumn*part.N*out:][:part.N*out], src[n*in:], w.phases[phase], upPhase(part, phase), Epilogue{RowBias: bias})
			}
			interleave(p, dst[4*n*out:][:4*part.N*out], halves, s.W, oddRow)
		}
	}
}

// interleave puts rows of w even columns, the first half of src, and w odd ones, the second half, into every other row of dst.
func interleave(p *Pool, dst, src []float32, w, odd int) {
	even, other := src[:len(src)/2], src[len(src)/2:]
	rows := len(even) / max(1, w)
	block := max(1, 4096/max(1, w))
	p.Run(ceilDiv(rows, block), func(_, i int) {
		for r := i * block; r < min(rows, (i+1)*block); r++ {
			row, a, b := dst[(2*r+odd)*2*w:][:2*w], even[r*w:][:w], other[r*w:][:w]
			for j, v := range a {
				row[2*j], row[2*j+1] = v, b[j]
			}
		}
	})
}
