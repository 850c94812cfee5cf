package kernel

import (
	"fmt"
	"slices"
	"testing"
)

// TestUpConv compares with the definition: pixels doubled, then convolved.
func TestUpConv(t *testing.T) {
	pools := []*Pool{NewPool(1), NewPool(3)}
	for _, p := range pools {
		defer p.Close()
	}
	eachLevel(t, func(t *testing.T) {
		rng := newRand(41)
		for _, s := range []ConvSpec{
			{N: 1, Cin: 1, H: 1, W: 1, Cout: 1},
			{N: 5, Cin: 3, H: 4, W: 4, Cout: 13},
			{N: 2, Cin: 16, H: 7, W: 19, Cout: 30},
			{N: 3, Cin: 50, H: 8, W: 8, Cout: 5},
			{N: 70, Cin: 2, H: 1, W: 33, Cout: 300},
		} {
			src, dst := guard(s.N*s.Cin*s.H*s.W, 3), guard(4*s.N*s.Cout*s.H*s.W, 5)
			randomize(rng, src.data)
			w, bias := randoms(rng, 9*s.Cin*s.Cout), randoms(rng, s.Cout)
			if s.H == 8 {
				bias = nil
			}
			big := make([]float32, 4*len(src.data))
			for i := range big {
				x, y, plane := i%(2*s.W), i/(2*s.W)%(2*s.H), i/(4*s.W*s.H)
				big[i] = src.data[(plane*s.H+y/2)*s.W+x/2]
			}
			whole := ConvSpec{N: s.N, Cin: s.Cin, H: 2 * s.H, W: 2 * s.W, Cout: s.Cout, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}.filled()
			want := convNaive(big, w, whole, Epilogue{RowBias: bias})
			packed, what := PackUpConv(w, s.Cin, s.Cout), fmt.Sprintf("%+v", s)
			var first []float32
			for i, p := range pools {
				scratch := guard(UpConvScratch(p.Threads(), s), 7)
				UpConv2D(p, scratch.data, dst.data, src.data, packed, s, bias)
				near(t, what, dst.data, want, 1e-5)
				for _, g := range []guarded{src, dst, scratch} {
					g.check(t, what)
				}
				if i > 0 && !slices.Equal(first, dst.data) {
					t.Errorf("%s: other bits with other threads", what)
				}
				first = slices.Clone(dst.data)
			}
		}
	})
}
