package kernel

import "unsafe"

func castBytes[T any](b []byte) []T {
	var z T
	n := len(b) / int(unsafe.Sizeof(z))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}

func transpose[T any](p *Pool, dst, src []T, shape, perm []int) {
	n := len(shape)
	stride := make([]int, n)
	total := 1
	for i := n - 1; i >= 0; i-- {
		stride[i] = total
		total *= shape[i]
	}
	need("transpose input", len(src), total)
	need("transpose output", len(dst), total)
	if total == 0 {
		return
	}
	idx := make([]int, n)
	off := 0
	for o := range total {
		dst[o] = src[off]
		for a := n - 1; a >= 0; a-- {
			idx[a]++
			off += stride[perm[a]]
			if idx[a] < shape[perm[a]] {
				break
			}
			off -= idx[a] * stride[perm[a]]
			idx[a] = 0
		}
	}
}
