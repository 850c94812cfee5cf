package graph

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBcast_Walk compares the merged walk with index arithmetic on random shapes, over random ranges.
func TestBcast_Walk(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		out := make([]int, rng.IntN(6))
		for i := range out {
			out[i] = []int{1, 1, 2, 3, 4, 5}[rng.IntN(6)]
		}
		shapes := make([][]int, 1+rng.IntN(3))
		for k := range shapes {
			s := slices.Clone(out[rng.IntN(len(out)+1):])
			for i := range s {
				if rng.IntN(3) == 0 {
					s[i] = 1
				}
			}
			shapes[k] = s
		}
		b := newBcast(out, shapes...)
		total := numElems(out)
		lo := rng.IntN(total + 1)
		hi := lo + rng.IntN(total+1-lo)
		next := lo
		b.rows(lo, hi, func(at, n int, off []int) {
			if at != next || n < 1 {
				t.Fatalf("out %v: run at %d of %d, want at %d", out, at, n, next)
			}
			next += n
			for i := range n {
				for k, s := range shapes {
					if got, want := off[k]+i*b.step[k], naiveOffset(at+i, out, s); got != want {
						t.Fatalf("out %v operand %v element %d: offset %d, want %d", out, s, at+i, got, want)
					}
				}
			}
		})
		if next != hi {
			t.Fatalf("out %v: range [%d, %d) ended at %d", out, lo, hi, next)
		}
	}
}

// naiveOffset is the element of an operand that output element i reads.
func naiveOffset(i int, out, shape []int) int {
	idx := make([]int, len(out))
	for d := len(out) - 1; d >= 0; d-- {
		idx[d] = i % out[d]
		i /= out[d]
	}
	at := 0
	for d, n := range shape {
		at *= n
		if n > 1 {
			at += idx[len(out)-len(shape)+d]
		}
	}
	return at
}

// TestBcast_FastPaths checks that the shapes of real networks become few long rows.
func TestBcast_FastPaths(t *testing.T) {
	for _, c := range []struct {
		out, a, b []int
		row       int
	}{
		{[]int{2, 320, 64, 64}, []int{2, 320, 64, 64}, []int{2, 320, 64, 64}, 2 * 320 * 64 * 64},
		{[]int{2, 320, 64, 64}, []int{2, 320, 64, 64}, []int{1}, 2 * 320 * 64 * 64},
		{[]int{2, 320, 64, 64}, []int{2, 320, 64, 64}, []int{320, 1, 1}, 64 * 64},
		{[]int{2, 320, 64, 64}, []int{2, 320, 64, 64}, []int{2, 320, 1, 1}, 64 * 64},
		{[]int{2, 4096, 320}, []int{2, 4096, 320}, []int{320}, 320},
		{[]int{2, 4096, 320}, []int{2, 4096, 320}, []int{1, 4096, 320}, 4096 * 320},
	} {
		if b := newBcast(c.out, c.a, c.b); b.n != c.row {
			t.Errorf("%v with %v: rows of %d, want %d", c.a, c.b, b.n, c.row)
		}
	}
}
