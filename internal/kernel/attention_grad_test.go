package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// oneAttentionGrad compares all three gradients with the reference and, computed one at a time, with themselves.
func oneAttentionGrad(t *testing.T, rng *rand.Rand, p *Pool, s AttentionSpec) {
	t.Helper()
	mask := s.Mask
	s.Mask = nil
	what := fmt.Sprintf("%+v mask %d", s, len(mask))
	s.Mask = mask
	nq, nk, nv, no := s.Sq*s.D, s.Sk*s.D, s.Sk*s.Dv, s.Sq*s.Dv
	ops := make([]guarded, 8) // q, k, v, o, do, dq, dk, dv
	for i, n := range []int{nq, nk, nv, no, no, nq, nk, nv} {
		ops[i] = guard(s.Batch*s.Heads*n, rng.IntN(16))
		randomize(rng, ops[i].data)
	}
	lse := guard(s.Batch*s.Heads*s.Sq, rng.IntN(16))
	g := AttentionGrad{
		Q: ops[0].data, K: ops[1].data, V: ops[2].data, O: ops[3].data, DO: ops[4].data, LSE: lse.data,
		DQ: ops[5].data, DK: ops[6].data, DV: ops[7].data,
	}
	AttentionSum(p, nil, g.O, g.LSE, g.Q, g.K, g.V, s)
	scratch := guard(AttentionBackwardScratch(p.Threads(), s), rng.IntN(16))
	AttentionBackward(p, scratch.data, s, g)
	want := [][]float64{make([]float64, len(g.DQ)), make([]float64, len(g.DK)), make([]float64, len(g.DV))}
	attentionBackwardRef(want[0], want[1], want[2], g.Q, g.K, g.V, g.DO, s)
	for i, got := range [][]float32{g.DQ, g.DK, g.DV} {
		w := make([]float32, len(got))
		for j, x := range want[i] {
			w[j] = float32(x)
		}
		near(t, what+" d"+"qkv"[i:i+1], got, w, 2e-5)
	}
	for _, b := range append(ops, lse, scratch) {
		b.check(t, what)
	}
	for i := range 3 {
		alone := g
		got := make([]float32, len(want[i]))
		alone.DQ, alone.DK, alone.DV = nil, nil, nil
		*[]*[]float32{&alone.DQ, &alone.DK, &alone.DV}[i] = got
		AttentionBackward(p, nil, s, alone)
		if !slices.Equal(got, ops[5+i].data) {
			t.Errorf("%s: gradient %d alone differs from all three together", what, i)
		}
	}
}

func TestAttentionBackward(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(17)
		for _, d := range []int{1, 8, 40, 64, 80, 160} {
			oneAttentionGrad(t, rng, pool, newAttention(2, 3, 70, 77, d, d, tokenStrides))
		}
		oneAttentionGrad(t, rng, pool, newAttention(1, 2, 65, 400, 40, 24, headStrides))
		oneAttentionGrad(t, rng, pool, newAttention(1, 1, 300, 300, 8, 8, headStrides))
		oneAttentionGrad(t, rng, pool, newAttention(1, 1, 1, 1, 3, 5, headStrides))
		for range 30 {
			s := newAttention(1+rng.IntN(2), 1+rng.IntN(3), 1+rng.IntN(80), 1+rng.IntN(250), 1+rng.IntN(50), 1+rng.IntN(50), tokenStrides)
			s.Causal = rng.IntN(3) == 0
			s.Scale = []float32{0, 0.3}[rng.IntN(2)]
			randomMask(rng, &s)
			oneAttentionGrad(t, rng, pool, s)
		}
	})
}

// BenchmarkAttentionBackward is the largest self-attention of Stable Diffusion 1.5.
func BenchmarkAttentionBackward(b *testing.B) {
	pool := NewPool(2)
	defer pool.Close()
	rng := newRand(3)
	s := newAttention(2, 8, 4096, 4096, 40, 40, tokenStrides)
	buf := func() []float32 { x := make([]float32, 2*8*4096*40); randomize(rng, x); return x }
	g := AttentionGrad{Q: buf(), K: buf(), V: buf(), O: buf(), DO: buf(), DQ: buf(), DK: buf(), DV: buf(), LSE: make([]float32, 2*8*4096)}
	scratch := make([]float32, max(AttentionBackwardScratch(2, s), AttentionScratch(2, s)))
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			AttentionSum(pool, scratch, g.O, g.LSE, g.Q, g.K, g.V, s)
		}
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			AttentionBackward(pool, scratch, s, g)
		}
	})
}
