package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// convNaive is the definition of a convolution in float64, written without regard to
// anything in the package but ConvSpec.
func convNaive(src, w []float32, s ConvSpec, ep Epilogue) []float32 {
	oh := (s.H+s.PadT+s.PadB-s.DilH*(s.KH-1)-1)/s.StrideH + 1
	ow := (s.W+s.PadL+s.PadR-s.DilW*(s.KW-1)-1)/s.StrideW + 1
	cg, mg := s.Cin/s.Groups, s.Cout/s.Groups
	out := make([]float32, s.N*s.Cout*oh*ow)
	for i := range out {
		x, y, co, n := i%ow, i/ow%oh, i/(ow*oh)%s.Cout, i/(ow*oh*s.Cout)
		sum := 0.0
		for c := range cg {
			for ky := range s.KH {
				for kx := range s.KW {
					iy, ix := y*s.StrideH+ky*s.DilH-s.PadT, x*s.StrideW+kx*s.DilW-s.PadL
					if iy >= 0 && iy < s.H && ix >= 0 && ix < s.W {
						v := src[((n*s.Cin+co/mg*cg+c)*s.H+iy)*s.W+ix]
						sum += float64(v) * float64(w[((co*cg+c)*s.KH+ky)*s.KW+kx])
					}
				}
			}
		}
		if ep.Alpha != 0 {
			sum *= float64(ep.Alpha)
		}
		if ep.RowBias != nil {
			sum += float64(ep.RowBias[co])
		}
		v := []float32{float32(sum)}
		actNaive(ep.Act, v)
		out[i] = v[0]
		if ep.Residual != nil {
			out[i] += ep.Residual[i]
		}
	}
	return out
}

func oneConv(t *testing.T, rng *rand.Rand, p *Pool, s ConvSpec) {
	t.Helper()
	s = s.filled()
	what := fmt.Sprintf("%+v", s)
	if s.OutH() <= 0 || s.OutW() <= 0 {
		t.Fatalf("%s: no output", what)
	}
	k := s.Cin / s.Groups * s.KH * s.KW
	src := guard(s.N*s.Cin*s.H*s.W, rng.IntN(16))
	dst := guard(s.N*s.Cout*s.OutH()*s.OutW(), rng.IntN(16))
	randomize(rng, src.data)
	w := randoms(rng, s.Cout*k)
	var ep Epilogue
	if rng.IntN(2) == 0 {
		ep.RowBias = randoms(rng, s.Cout)
	}
	if rng.IntN(3) == 0 {
		ep.Residual = randoms(rng, len(dst.data))
	}
	if rng.IntN(3) == 0 {
		ep.Act, ep.Alpha = ActSilu, 0.5
	}
	scratch := guard(ConvScratch(p.Threads(), s), rng.IntN(16))
	Conv2D(p, scratch.data, dst.data, src.data, PackConv(SourceF32(w, k, 1), s), s, ep)
	near(t, what, dst.data, convNaive(src.data, w, s, ep), 1e-4)
	src.check(t, what)
	dst.check(t, what)
	scratch.check(t, what)
}

func TestConv2D(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	specs := map[string]ConvSpec{
		"3x3 rows of 64":      {N: 1, Cin: 3, H: 5, W: 64, Cout: 13, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"3x3 rows of 32":      {N: 2, Cin: 50, H: 6, W: 32, Cout: 30, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"3x3 rows of 16":      {N: 2, Cin: 44, H: 16, W: 16, Cout: 24, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"3x3 rows of 8":       {N: 2, Cin: 90, H: 8, W: 8, Cout: 36, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"1x1":                 {N: 2, Cin: 70, H: 9, W: 11, Cout: 14, KH: 1, KW: 1},
		"1x1 stride 2":        {N: 1, Cin: 8, H: 9, W: 11, Cout: 14, KH: 1, KW: 1, StrideH: 2, StrideW: 2},
		"downsample":          {N: 1, Cin: 20, H: 32, W: 32, Cout: 20, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"downsample, VAE":     {N: 1, Cin: 6, H: 17, W: 18, Cout: 8, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadB: 1, PadR: 1},
		"patches":             {N: 1, Cin: 3, H: 56, W: 42, Cout: 24, KH: 14, KW: 14, StrideH: 14, StrideW: 14},
		"many taps":           {N: 1, Cin: 2, H: 24, W: 23, Cout: 5, KH: 11, KW: 9, PadT: 5, PadB: 2, PadL: 4, PadR: 6},
		"dilation":            {N: 1, Cin: 5, H: 12, W: 19, Cout: 9, KH: 3, KW: 2, DilH: 2, DilW: 3, PadT: 2, PadL: 3, PadB: 1, PadR: 0},
		"groups":              {N: 2, Cin: 24, H: 7, W: 9, Cout: 36, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 4},
		"depthwise":           {N: 2, Cin: 10, H: 7, W: 9, Cout: 10, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 10},
		"depthwise doubled":   {N: 1, Cin: 4, H: 8, W: 8, Cout: 8, KH: 5, KW: 5, StrideH: 2, StrideW: 3, PadT: 2, PadL: 1, PadB: 3, PadR: 0, Groups: 4},
		"padding over border": {N: 1, Cin: 2, H: 2, W: 2, Cout: 3, KH: 3, KW: 3, PadT: 3, PadL: 4, PadB: 5, PadR: 2},
		"small, two a panel":  {N: 5, Cin: 90, H: 4, W: 4, Cout: 37, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"small, stride 2":     {N: 4, Cin: 50, H: 8, W: 8, Cout: 20, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1},
		"small, groups":       {N: 23, Cin: 24, H: 3, W: 2, Cout: 16, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1, Groups: 2},
		"small, 1x1":          {N: 7, Cin: 400, H: 3, W: 3, Cout: 30, KH: 1, KW: 1},
		"one pixel":           {N: 3, Cin: 7, H: 1, W: 1, Cout: 5, KH: 1, KW: 1},
	}
	eachLevel(t, func(t *testing.T) {
		rng := newRand(5)
		for name, s := range specs {
			t.Run(name, func(t *testing.T) {
				for range 3 {
					oneConv(t, rng, pool, s)
				}
			})
		}
		for range 60 {
			oneConv(t, rng, pool, randomConv(rng))
		}
	})
}

func randomConv(rng *rand.Rand) ConvSpec {
	g := 1 + rng.IntN(3)
	s := ConvSpec{
		N: 1 + rng.IntN(2), Cin: g * (1 + rng.IntN(9)), Cout: g * (1 + rng.IntN(9)), Groups: g,
		KH: 1 + rng.IntN(4), KW: 1 + rng.IntN(4), StrideH: 1 + rng.IntN(2), StrideW: 1 + rng.IntN(2),
		PadT: rng.IntN(3), PadL: rng.IntN(3), PadB: rng.IntN(3), PadR: rng.IntN(3),
		DilH: 1 + rng.IntN(2), DilW: 1 + rng.IntN(2),
	}
	s.H = s.DilH*(s.KH-1) + 1 + rng.IntN(12)
	s.W = s.DilW*(s.KW-1) + 1 + rng.IntN(40)
	return s
}

func TestConvThreads(t *testing.T) {
	rng := newRand(6)
	s := ConvSpec{N: 2, Cin: 100, H: 16, W: 16, Cout: 140, KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}
	src, w := randoms(rng, 2*100*256), randoms(rng, 140*900)
	packed := PackConv(SourceF32(w, 900, 1), s)
	var want []float32
	for _, threads := range []int{1, 2, 4} {
		pool := NewPool(threads)
		dst := make([]float32, 2*140*256)
		Conv2D(pool, nil, dst, src, packed, s, Epilogue{})
		pool.Close()
		if want == nil {
			want = dst
		}
		same(t, fmt.Sprint(threads, " threads"), dst, want)
	}
}

// FuzzConv compares every implementation with the definition on random shapes.
func FuzzConv(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		eachLevel(t, func(t *testing.T) {
			rng := newRand(seed)
			oneConv(t, rng, nil, randomConv(rng))
		})
	})
}

func BenchmarkConv(b *testing.B) {
	for _, c := range [][4]int{ // batch, side, input and output channels
		{2, 64, 320, 320},
		{2, 64, 960, 320},
		{2, 32, 640, 640},
		{2, 32, 1920, 640},
		{2, 16, 1280, 1280},
		{2, 16, 2560, 1280},
		{2, 8, 1280, 1280},
		{1, 256, 128, 128},
		{2, 64, 320, 4},
		{2, 64, 4, 320},
	} {
		s := ConvSpec{N: c[0], Cin: c[2], H: c[1], W: c[1], Cout: c[3], KH: 3, KW: 3, PadT: 1, PadL: 1, PadB: 1, PadR: 1}
		benchConv(b, s)
	}
	benchConv(b, ConvSpec{N: 2, Cin: 320, H: 64, W: 64, Cout: 320, KH: 3, KW: 3, StrideH: 2, StrideW: 2, PadT: 1, PadL: 1, PadB: 1, PadR: 1})
	benchConv(b, ConvSpec{N: 2, Cin: 960, H: 64, W: 64, Cout: 320, KH: 1, KW: 1})
}

func benchConv(b *testing.B, s ConvSpec) {
	s = s.filled()
	rng := newRand(9)
	k := s.Cin * s.KH * s.KW
	src, w := randoms(rng, s.N*s.Cin*s.H*s.W), randoms(rng, s.Cout*k)
	dst := make([]float32, s.N*s.Cout*s.OutH()*s.OutW())
	packed := PackConv(SourceF32(w, k, 1), s)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("n=%d/side=%d/cin=%d/cout=%d/k=%d/s=%d/threads=%d", s.N, s.H, s.Cin, s.Cout, s.KH, s.StrideH, threads), func(b *testing.B) {
			pool := NewPool(threads)
			defer pool.Close()
			scratch := make([]float32, ConvScratch(threads, s))
			rate(b, 2*float64(k)*float64(len(dst)), func() { Conv2D(pool, scratch, dst, src, packed, s, Epilogue{}) })
		})
	}
}
