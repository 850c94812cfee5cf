package kernel

import (
	"testing"

	"winnow/internal/tensor"
)

// TestPackTransposedConv compares with a convolution whose weights are exchanged and turned around one by one.
func TestPackTransposedConv(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(41)
		for _, s := range []ConvSpec{
			{N: 2, Cin: 5, H: 7, W: 9, Cout: 13, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
			{N: 1, Cin: 24, H: 6, W: 6, Cout: 24, KH: 1, KW: 1},
			{N: 1, Cin: 3, H: 8, W: 5, Cout: 1, KH: 2, KW: 3, PadR: 2},
			{N: 1, Cin: 70, H: 16, W: 16, Cout: 90, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		} {
			taps := s.KH * s.KW
			w, x := randoms(rng, s.Cin*s.Cout*taps), randoms(rng, s.N*s.Cin*s.H*s.W)
			for i, v := range w {
				w[i] = tensor.F16ToF32(tensor.F32ToF16(v))
			}
			turned := make([]float32, len(w))
			half := make([]uint16, len(w))
			F32ToF16(half, w)
			for c := range s.Cin {
				for o := range s.Cout {
					for tap := range taps {
						turned[(o*s.Cin+c)*taps+taps-1-tap] = w[(c*s.Cout+o)*taps+tap]
					}
				}
			}
			want, got := make([]float32, s.N*s.Cout*s.OutH()*s.OutW()), make([]float32, s.N*s.Cout*s.OutH()*s.OutW())
			Conv2D(pool, nil, want, x, PackConv(SourceF32(turned, s.Cin*taps, 1), s), s, Epilogue{})
			into := guard(TransposedConvSize(s), 3)
			Conv2D(pool, nil, got, x, PackTransposedConv(tensor.F32, tensor.FromF32(w, len(w)).Data, s, into.data), s, Epilogue{})
			near(t, "float32", got, want, 0)
			into.check(t, "packed weights")
			data := tensor.New(tensor.F16, len(half))
			copy(data.F16(), half)
			Conv2D(pool, nil, got, x, PackTransposedConv(tensor.F16, data.Data, s, nil), s, Epilogue{})
			near(t, "float16", got, want, 0)
		}
	})
}
