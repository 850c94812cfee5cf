package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// transposeNaive walks over all indices of the destination.
func transposeNaive(src []float32, shape, perm []int) []float32 {
	out := make([]float32, len(src))
	for o := range out {
		rest, at := o, 0
		index := make([]int, len(shape))
		for i := len(perm) - 1; i >= 0; i-- {
			index[perm[i]] = rest % shape[perm[i]]
			rest /= shape[perm[i]]
		}
		for i, n := range shape {
			at = at*n + index[i]
		}
		out[o] = src[at]
	}
	return out
}

func TestTranspose(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	eachLevel(t, func(t *testing.T) {
		rng := newRand(14)
		check := func(shape, perm []int) {
			t.Helper()
			n := 1
			for _, s := range shape {
				n *= s
			}
			src, dst := guard(n, rng.IntN(16)), guard(n, rng.IntN(16))
			randomize(rng, src.data)
			Transpose(pool, dst.data, src.data, shape, perm)
			what := fmt.Sprint(shape, perm)
			same(t, what, dst.data, transposeNaive(src.data, shape, perm))
			dst.check(t, what)
		}
		check([]int{}, []int{})
		check([]int{0, 3}, []int{1, 0})
		check([]int{2, 64, 8, 40}, []int{0, 2, 1, 3})
		check([]int{2, 320, 64, 8}, []int{0, 2, 3, 1})
		check([]int{300, 257}, []int{1, 0})
		for range 120 {
			shape := make([]int, 1+rng.IntN(5))
			for i := range shape {
				shape[i] = 1 + rng.IntN(12)
			}
			shape[rng.IntN(len(shape))] = 1 + rng.IntN(150)
			check(shape, rng.Perm(len(shape)))
		}
	})
}

func TestTransposeBytes(t *testing.T) {
	rng := newRand(15)
	shape, perm := []int{3, 70, 5}, []int{2, 1, 0}
	for _, size := range []int{1, 2, 4, 8} {
		n := 3 * 70 * 5
		src, dst := randomBytes(rng, n*size), make([]byte, n*size)
		TransposeBytes(nil, dst, src, size, shape, perm)
		for b := range size { // every byte of the elements moves alike
			plane := make([]float32, n)
			for i := range plane {
				plane[i] = float32(src[i*size+b])
			}
			for i, want := range transposeNaive(plane, shape, perm) {
				if dst[i*size+b] != byte(want) {
					t.Fatalf("size %d: byte %d of element %d is %d, want %v", size, b, i, dst[i*size+b], want)
				}
			}
		}
	}
	if catch(func() { TransposeBytes(nil, make([]byte, 9), make([]byte, 9), 3, []int{3}, []int{0}) }) == nil {
		t.Error("size 3: no panic")
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	words := make([]uint64, (n+7)/8) // aligned for every element size
	for i := range words {
		words[i] = r.Uint64()
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}

func BenchmarkTranspose(b *testing.B) {
	for name, c := range map[string][2][]int{
		"channels last":  {{2, 320, 4096}, {0, 2, 1}},
		"channels first": {{2, 4096, 320}, {0, 2, 1}},
		"heads":          {{2, 4096, 8, 40}, {0, 2, 1, 3}},
	} {
		b.Run(name, func(b *testing.B) {
			n := 2 * 320 * 4096
			src, dst := make([]float32, n), make([]float32, n)
			b.SetBytes(int64(4 * n))
			for b.Loop() {
				Transpose(nil, dst, src, c[0], c[1])
			}
		})
	}
}
