package graph

import (
	"math/rand/v2"
	"testing"
)

// TestPlace checks on random lifetimes that no two blocks in use at the same time share memory, and that the arena is not
// larger than 1.3 times what the busiest moment needs.
func TestPlace(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		buffers := make([]buffer, 1+r.IntN(200))
		peak := make([]int, 120)
		for i := range buffers {
			first := r.IntN(100)
			size := blockAlign * (1 + r.IntN(1<<r.IntN(12)))
			buffers[i] = buffer{size: size, used: size, first: first, last: min(119, first+r.IntN(1+r.IntN(20)))}
			for s := first; s <= buffers[i].last; s++ {
				peak[s] += size
			}
		}
		total := place(buffers, false)
		need := 0
		for _, p := range peak {
			need = max(need, p)
		}
		if float64(total) > 1.3*float64(need) {
			t.Errorf("seed %d: arena %d for a peak of %d", seed, total, need)
		}
		for i := range buffers {
			a := &buffers[i]
			if a.off%blockAlign != 0 || a.off+a.size > total {
				t.Fatalf("seed %d: block at %d+%d in an arena of %d", seed, a.off, a.size, total)
			}
			for j := range i {
				b := &buffers[j]
				if a.overlaps(b) && a.off < b.off+b.size && b.off < a.off+a.size {
					t.Fatalf("seed %d: blocks %+v and %+v share memory", seed, *a, *b)
				}
			}
		}
	}
}
