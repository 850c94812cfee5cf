package kernel

import "fmt"

// Transpose writes src (row-major, of the given shape) to dst with its axes in the
// order perm: axis i of dst is axis perm[i] of src.
func Transpose(p *Pool, dst, src []float32, shape, perm []int) { transpose(p, dst, src, shape, perm) }

// TransposeBytes is [Transpose] for elements of size 1, 2, 4 or 8 bytes.
func TransposeBytes(p *Pool, dst, src []byte, size int, shape, perm []int) {
	switch size {
	case 1:
		transpose(p, dst, src, shape, perm)
	case 2:
		transpose(p, castBytes[uint16](dst), castBytes[uint16](src), shape, perm)
	case 4:
		transpose(p, castBytes[uint32](dst), castBytes[uint32](src), shape, perm)
	case 8:
		transpose(p, castBytes[uint64](dst), castBytes[uint64](src), shape, perm)
	default:
		panic(fmt.Sprintf("kernel: transpose of %d-byte elements", size))
	}
}
