package kernel

import "unsafe"

// alignSlack is what every scratch size includes so that the start can be moved to a
// cache line.
const alignSlack = 16

// aligned returns size numbers of scratch from its first cache line on; it allocates
// when scratch is nil.
func aligned(scratch []float32, size int) []float32 {
	if scratch == nil {
		scratch = make([]float32, size+alignSlack)
	}
	if size == 0 {
		return nil
	}
	need("scratch", len(scratch), size)
	skip := int(-uintptr(unsafe.Pointer(&scratch[0])) % 64 / 4)
	need("scratch", len(scratch), size+skip)
	return scratch[skip:][:size]
}

// carve cuts n numbers, rounded up to a cache line, from the front of *s.
func carve(s *[]float32, n int) []float32 {
	n = roundUp(n, 16)
	part := (*s)[:n:n]
	*s = (*s)[n:]
	return part
}
