package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"winnow/internal/tensor"
)

// gemmNaive is the definition of GemmArgs in float64.
func gemmNaive(g GemmArgs, a, b Mat) []float32 {
	out := make([]float32, len(g.C))
	copy(out, g.C)
	alpha := float64(g.Ep.Alpha)
	if alpha == 0 {
		alpha = 1
	}
	row := make([]float32, 1)
	for i := range g.M {
		for j := range g.N {
			s := 0.0
			for k := range g.K {
				s += float64(a.Data[i*a.RS+k*a.CS]) * float64(b.Data[k*b.RS+j*b.CS])
			}
			s *= alpha
			at := i*g.LDC + j
			if g.Accumulate {
				s += float64(g.C[at])
			}
			if g.Ep.RowBias != nil {
				s += float64(g.Ep.RowBias[i])
			}
			if g.Ep.ColBias != nil {
				s += float64(g.Ep.ColBias[j])
			}
			row[0] = float32(s)
			actNaive(g.Ep.Act, row)
			if g.Ep.Residual != nil {
				row[0] += g.Ep.Residual[at]
			}
			out[at] = row[0]
		}
	}
	return out
}

var actOps = map[Act]unaryOp{
	ActSilu: opSilu, ActGelu: opGelu, ActGeluTanh: opGeluTanh, ActQuickGelu: opQuickGelu,
	ActRelu: opRelu, ActSigmoid: opSigmoid, ActTanh: opTanh,
}

func actNaive(a Act, x []float32) {
	if op, ok := actOps[a]; ok {
		unaryRef(op, x, x)
	}
}

// randomView makes an r×c view with random order and gaps, every element inside guards.
func randomView(rng *rand.Rand, r, c int) (Mat, guarded) {
	gap := rng.IntN(4)
	m := Mat{RS: c + gap, CS: 1}
	if rng.IntN(2) == 0 {
		m = Mat{RS: 1, CS: r + gap}
	}
	if rng.IntN(6) == 0 {
		m = Mat{RS: 2 * (c + gap), CS: 2}
	}
	g := guard(max(0, (r-1)*m.RS+(c-1)*m.CS+1), rng.IntN(16))
	randomize(rng, g.data)
	m.Data = g.data
	return m, g
}

func randomEpilogue(rng *rand.Rand, m, n, ldc int, accumulate bool) Epilogue {
	var e Epilogue
	if rng.IntN(2) == 0 {
		e.RowBias = randoms(rng, m)
	}
	if rng.IntN(2) == 0 {
		e.ColBias = randoms(rng, n)
	}
	if rng.IntN(3) == 0 {
		e.Residual = randoms(rng, span(m, ldc, n))
	}
	if !accumulate && rng.IntN(3) == 0 {
		e.Alpha = 0.37
	}
	if rng.IntN(3) == 0 {
		e.Act = Act(rng.IntN(int(ActTanh) + 1))
	}
	return e
}

// oneGemm checks one random product of the given shape, packed in a random way.
func oneGemm(t *testing.T, rng *rand.Rand, p *Pool, m, n, k int) {
	t.Helper()
	a, ga := randomView(rng, m, k)
	b, gb := randomView(rng, k, n)
	ldc := n + rng.IntN(3)
	c := guard(span(m, ldc, n), rng.IntN(16))
	randomize(rng, c.data)
	g := GemmArgs{M: m, N: n, K: k, A: a, B: b, C: c.data, LDC: ldc, Accumulate: rng.IntN(3) == 0}
	g.Ep = randomEpilogue(rng, m, n, ldc, g.Accumulate)
	want := gemmNaive(g, a, b)
	if rng.IntN(2) == 0 {
		g.PA, g.A = PackA(SourceF32(a.Data, a.RS, a.CS), m, k), Mat{}
	}
	if rng.IntN(2) == 0 {
		g.PB, g.B = PackB(SourceF32(b.Data, b.RS, b.CS), k, n), Mat{}
	}
	scratch := guard(GemmScratch(p.Threads(), m, n, k, g.PA != nil, g.PB != nil), rng.IntN(16))
	Gemm(p, scratch.data, g)
	what := fmt.Sprintf("m=%d n=%d k=%d packed=%v,%v acc=%v", m, n, k, g.PA != nil, g.PB != nil, g.Accumulate)
	near(t, what, c.data, want, 2e-6*math.Sqrt(float64(k)+16))
	for _, x := range []guarded{ga, gb, c, scratch} {
		x.check(t, what)
	}
}

func TestGemm(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(1)
		for _, s := range [][3]int{
			{1, 1, 1},
			{1, 33, 7},
			{13, 1, 5},
			{12, 32, 1},
			{5, 7, 0},
			{2, 320, 1280},
			{4, 100, 385},
			{77, 768, 64},
			{300, 65, 400},
			{25, 513, 769},
			{640, 128, 900},
			{200, 1000, 20},
		} {
			for range 2 {
				oneGemm(t, rng, pool, s[0], s[1], s[2])
			}
		}
		for range 150 {
			oneGemm(t, rng, pool, 1+rng.IntN(40), 1+rng.IntN(80), 1+rng.IntN(50))
		}
	})
}

// TestGemmThreads checks that the bits of a product do not depend on the threads.
func TestGemmThreads(t *testing.T) {
	rng := newRand(2)
	for _, s := range [][3]int{{64, 2000, 800}, {500, 70, 1000}, {129, 127, 401}, {2, 1280, 320}} {
		m, n, k := s[0], s[1], s[2]
		a, b := randoms(rng, m*k), randoms(rng, k*n)
		var want []float32
		for _, threads := range []int{1, 2, 3, 5} {
			pool := NewPool(threads)
			for packed := range 4 {
				g := GemmArgs{M: m, N: n, K: k, A: RowMajor(a, k), B: RowMajor(b, n), C: make([]float32, m*n), LDC: n}
				if packed&1 != 0 {
					g.PA = PackA(SourceF32(a, k, 1), m, k)
				}
				if packed&2 != 0 {
					g.PB = PackB(SourceF32(b, n, 1), k, n)
				}
				Gemm(pool, nil, g)
				if want == nil {
					want = g.C
				}
				same(t, fmt.Sprintf("%v threads=%d packed=%d", s, threads, packed), g.C, want)
			}
			pool.Close()
		}
	}
}

func TestGemmBatch(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := newRand(3)
		pool := NewPool(2)
		defer pool.Close()
		for _, batch := range []int{0, 1, 3, 9} {
			m, n, k := 17, 45, 33
			a, b := randoms(rng, batch*m*k), randoms(rng, batch*k*n)
			got := make([]float32, batch*m*n)
			at := func(i int) GemmArgs {
				return GemmArgs{M: m, N: n, K: k, A: RowMajor(a[i*m*k:], k), B: RowMajor(b[i*k*n:], n), C: got[i*m*n:][:m*n], LDC: n}
			}
			GemmBatch(pool, make([]float32, GemmScratch(2, m, n, k, false, false)), batch, at)
			for i := range batch {
				g := at(i)
				near(t, fmt.Sprint("product ", i), g.C, gemmNaive(g, g.A, g.B), 1e-5)
			}
		}
	})
}

// TestPackHalf checks that half-precision weights give the bits of their widened copy.
func TestPackHalf(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := newRand(4)
		for _, dt := range []tensor.DType{tensor.F16, tensor.BF16} {
			for _, s := range [][2]int{{1, 1}, {37, 50}, {96, 33}, {701, 800}} {
				r, c := s[0], s[1]
				half := tensor.New(dt, r, c)
				tensor.NarrowInto(half, 0, randoms(rng, r*c))
				wide := half.Float32s()
				for _, tr := range []bool{false, true} {
					src := Source{DType: dt, Data: half.Data, RowStride: c, ColStride: 1}
					ref := SourceF32(wide, c, 1)
					rows, cols := r, c
					if tr {
						src.RowStride, src.ColStride, ref.RowStride, ref.ColStride = 1, c, 1, c
						rows, cols = c, r
					}
					same(t, fmt.Sprint("left ", dt, s, tr), PackA(src, rows, cols).data, PackA(ref, rows, cols).data)
					same(t, fmt.Sprint("right ", dt, s, tr), PackB(src, rows, cols).data, PackB(ref, rows, cols).data)
				}
			}
		}
	})
}

func TestGemmPanics(t *testing.T) {
	a := make([]float32, 100)
	for name, g := range map[string]GemmArgs{
		"short A":       {M: 11, N: 5, K: 10, A: RowMajor(a, 10), B: RowMajor(a, 5), C: a, LDC: 5},
		"short B":       {M: 5, N: 11, K: 10, A: RowMajor(a, 10), B: RowMajor(a, 11), C: a, LDC: 11},
		"short C":       {M: 10, N: 11, K: 2, A: RowMajor(a, 2), B: RowMajor(a, 11), C: a, LDC: 11},
		"narrow LDC":    {M: 5, N: 5, K: 5, A: RowMajor(a, 5), B: RowMajor(a, 5), C: a, LDC: 4},
		"short bias":    {M: 5, N: 5, K: 5, A: RowMajor(a, 5), B: RowMajor(a, 5), C: a, LDC: 5, Ep: Epilogue{ColBias: a[:4]}},
		"wrong packing": {M: 5, N: 5, K: 5, PA: PackB(SourceF32(a, 5, 1), 5, 5), B: RowMajor(a, 5), C: a, LDC: 5},
	} {
		if catch(func() { Gemm(nil, nil, g) }) == nil {
			t.Errorf("%s: no panic", name)
		}
	}
}

// FuzzGemm compares every implementation with the definition on random shapes.
func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), uint16(12), uint16(32), uint16(9))
	f.Add(uint64(2), uint16(3), uint16(1), uint16(400))
	f.Fuzz(func(t *testing.T, seed uint64, m, n, k uint16) {
		eachLevel(t, func(t *testing.T) {
			oneGemm(t, newRand(seed), nil, 1+int(m%70), 1+int(n%140), int(k%500))
		})
	})
}

func BenchmarkGemm(b *testing.B) {
	before := Selected()
	defer func() { must(b, Select(before)) }()
	for _, s := range [][3]int{
		{4096, 320, 320},
		{8192, 320, 320},
		{8192, 1280, 320},
		{8192, 2560, 320},
		{8192, 320, 1280},
		{2048, 640, 640},
		{512, 1280, 1280},
		{128, 1280, 1280},
		{154, 320, 768},
		{2, 1280, 1280},
		{1, 1280, 320},
	} {
		benchGemm(b, "right", s[0], s[1], s[2])
	}
	for _, s := range [][3]int{{320, 4096, 2880}, {1280, 256, 11520}, {640, 1024, 5760}, {320, 4096, 320}, {1280, 64, 11520}} {
		benchGemm(b, "left", s[0], s[1], s[2])
	}
	for _, s := range [][3]int{{1024, 1024, 1024}, {4096, 4096, 40}, {4096, 40, 4096}} {
		benchGemm(b, "none", s[0], s[1], s[2])
	}
}

func benchGemm(b *testing.B, packed string, m, n, k int) {
	rng := newRand(9)
	x, y, z := randoms(rng, m*k), randoms(rng, k*n), make([]float32, m*n)
	for _, impl := range Available()[1:] {
		for _, threads := range []int{1, 2} {
			name := fmt.Sprintf("m=%d/n=%d/k=%d/packed=%s/threads=%d/impl=%s", m, n, k, packed, threads, impl)
			b.Run(name, func(b *testing.B) {
				must(b, Select(impl))
				pool := NewPool(threads)
				defer pool.Close()
				g := GemmArgs{M: m, N: n, K: k, A: RowMajor(x, k), B: RowMajor(y, n), C: z, LDC: n}
				switch packed {
				case "left":
					g.PA = PackA(SourceF32(x, k, 1), m, k)
				case "right":
					g.PB = PackB(SourceF32(y, n, 1), k, n)
				}
				scratch := make([]float32, GemmScratch(threads, m, n, k, g.PA != nil, g.PB != nil))
				rate(b, 2*float64(m)*float64(n)*float64(k), func() { Gemm(pool, scratch, g) })
			})
		}
	}
}

// rate runs f and reports GFLOP a second, by the wall clock and by processor time.
func rate(b *testing.B, flop float64, f func()) {
	before := cpuSeconds()
	for b.Loop() {
		f()
	}
	total := flop * float64(b.N) / 1e9
	b.ReportMetric(total/b.Elapsed().Seconds(), "GFLOP/s")
	if used := cpuSeconds() - before; used > 0 {
		b.ReportMetric(total/used, "GFLOP/cpu-s")
	}
}
