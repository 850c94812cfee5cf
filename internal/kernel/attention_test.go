package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// tokenStrides is [batch, tokens, heads, width] storage seen as batch, head, token.
func tokenStrides(heads, tokens, width int) [3]int {
	return [3]int{tokens * heads * width, width, heads * width}
}

// headStrides is [batch, heads, tokens, width] storage.
func headStrides(heads, tokens, width int) [3]int {
	return [3]int{heads * tokens * width, tokens * width, width}
}

func newAttention(b, h, sq, sk, d, dv int, layout func(h, t, w int) [3]int) AttentionSpec {
	return AttentionSpec{
		Batch: b, Heads: h, Sq: sq, Sk: sk, D: d, Dv: dv,
		QStride: layout(h, sq, d), KStride: layout(h, sk, d), VStride: layout(h, sk, dv), OStride: layout(h, sq, dv),
	}
}

func oneAttention(t *testing.T, rng *rand.Rand, p *Pool, s AttentionSpec) {
	t.Helper()
	mask := s.Mask
	s.Mask = nil
	what := fmt.Sprintf("%+v mask %d", s, len(mask))
	s.Mask = mask
	ops := make([]guarded, 3)
	for i, n := range []int{s.Sq * s.D, s.Sk * s.D, s.Sk * s.Dv} {
		ops[i] = guard(s.Batch*s.Heads*n, rng.IntN(16))
		randomize(rng, ops[i].data)
	}
	dst := guard(s.Batch*s.Heads*s.Sq*s.Dv, rng.IntN(16))
	want := make([]float32, len(dst.data))
	attentionRef(want, ops[0].data, ops[1].data, ops[2].data, s)
	scratch := guard(AttentionScratch(p.Threads(), s), rng.IntN(16))
	Attention(p, scratch.data, dst.data, ops[0].data, ops[1].data, ops[2].data, s)
	near(t, what, dst.data, want, 5e-6)
	for _, g := range append(ops, dst, scratch) {
		g.check(t, what)
	}
}

func TestAttention(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(7)
		for _, d := range []int{1, 8, 40, 64, 80, 160} {
			oneAttention(t, rng, pool, newAttention(2, 3, 70, 77, d, d, tokenStrides))
		}
		oneAttention(t, rng, pool, newAttention(1, 2, 65, 400, 40, 24, headStrides))
		oneAttention(t, rng, pool, newAttention(1, 1, 1, 1, 3, 5, headStrides))
		for range 30 {
			s := newAttention(1+rng.IntN(2), 1+rng.IntN(3), 1+rng.IntN(80), 1+rng.IntN(250), 1+rng.IntN(50), 1+rng.IntN(50), tokenStrides)
			s.Causal = rng.IntN(3) == 0
			s.Scale = []float32{0, 0.3}[rng.IntN(2)]
			randomMask(rng, &s)
			oneAttention(t, rng, pool, s)
		}
	})
}

// randomMask gives s no mask or an additive one in one of the layouts models use.
func randomMask(rng *rand.Rand, s *AttentionSpec) {
	switch rng.IntN(4) {
	case 0:
		return
	case 1: // padded keys, the same for every head and query
		s.Mask, s.MaskStride = make([]float32, s.Batch*s.Sk), [3]int{s.Sk, 0, 0}
	case 2: // one for all samples
		s.Mask, s.MaskStride = make([]float32, s.Sq*s.Sk), [3]int{0, 0, s.Sk}
	case 3:
		s.Mask, s.MaskStride = make([]float32, s.Batch*s.Heads*s.Sq*s.Sk), [3]int{s.Heads * s.Sq * s.Sk, s.Sq * s.Sk, s.Sk}
	}
	out := []float32{float32(math.Inf(-1)), -10000, -math.MaxFloat32}[rng.IntN(3)]
	for i := range s.Mask {
		s.Mask[i] = float32(rng.NormFloat64())
		if rng.IntN(3) == 0 && i%s.Sk != 0 { // key 0 stays, so that every query sees one
			s.Mask[i] = out
		}
	}
}

// TestAttentionMaskedOut pins what happens to queries that see nothing: NaN when the
// mask is -Inf, the mean of all values when it is the smallest finite number.
func TestAttentionMaskedOut(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := newRand(8)
		s := newAttention(1, 1, 3, 200, 8, 4, headStrides)
		q, k, v := randoms(rng, 3*8), randoms(rng, 200*8), randoms(rng, 200*4)
		s.Mask, s.MaskStride = make([]float32, 3*200), [3]int{0, 0, 200}
		for i := range 200 {
			s.Mask[i], s.Mask[200+i] = float32(math.Inf(-1)), -math.MaxFloat32
		}
		got, want := make([]float32, 12), make([]float32, 12)
		Attention(nil, nil, got, q, k, v, s)
		attentionRef(want, q, k, v, s)
		near(t, "masked out", got, want, 1e-5)
		if !math.IsNaN(float64(got[0])) || math.IsNaN(float64(got[4])) {
			t.Errorf("got %v", got)
		}
	})
}

func TestAttentionThreads(t *testing.T) {
	rng := newRand(9)
	s := newAttention(2, 5, 300, 77, 40, 40, tokenStrides)
	q, k, v := randoms(rng, 2*5*300*40), randoms(rng, 2*5*77*40), randoms(rng, 2*5*77*40)
	var want []float32
	for _, threads := range []int{1, 2, 3} {
		pool := NewPool(threads)
		got := make([]float32, len(q))
		Attention(pool, nil, got, q, k, v, s)
		pool.Close()
		if want == nil {
			want = got
		}
		same(t, fmt.Sprint(threads, " threads"), got, want)
	}
}

// FuzzAttention compares every implementation with the definition on random shapes.
func FuzzAttention(f *testing.F) {
	f.Add(uint64(3), uint16(33), uint16(193), uint16(40))
	f.Fuzz(func(t *testing.T, seed uint64, sq, sk, d uint16) {
		eachLevel(t, func(t *testing.T) {
			rng := newRand(seed)
			s := newAttention(1, 1+rng.IntN(3), 1+int(sq%70), 1+int(sk%400), 1+int(d%170), 1+rng.IntN(60), headStrides)
			s.Causal = rng.IntN(2) == 0
			randomMask(rng, &s)
			oneAttention(t, rng, nil, s)
		})
	})
}

func BenchmarkAttention(b *testing.B) {
	for _, c := range [][5]int{ // batch, heads, queries, keys, head size
		{2, 8, 4096, 4096, 40}, {2, 8, 4096, 77, 40}, {2, 8, 1024, 1024, 80}, {2, 8, 1024, 77, 80}, {2, 8, 256, 256, 160}, {1, 1, 4096, 4096, 512},
	} {
		s := newAttention(c[0], c[1], c[2], c[3], c[4], c[4], tokenStrides)
		rng := newRand(10)
		q, k, v := randoms(rng, c[0]*c[1]*c[2]*c[4]), randoms(rng, c[0]*c[1]*c[3]*c[4]), randoms(rng, c[0]*c[1]*c[3]*c[4])
		dst := make([]float32, len(q))
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("b=%d/h=%d/q=%d/k=%d/d=%d/threads=%d", c[0], c[1], c[2], c[3], c[4], threads), func(b *testing.B) {
				pool := NewPool(threads)
				defer pool.Close()
				scratch := make([]float32, AttentionScratch(threads, s))
				rate(b, 4*float64(c[0]*c[1]*c[2])*float64(c[3]*c[4]), func() { Attention(pool, scratch, dst, q, k, v, s) })
			})
		}
	}
}
