package kernel

import (
	"fmt"
	"slices"
	"unsafe"
)

// Transpose writes src (row-major, of the given shape) to dst with its axes in the
// order perm: axis i of dst is axis perm[i] of src. dst must not overlap src.
func Transpose(p *Pool, dst, src []float32, shape, perm []int) {
	transpose(p, dst, src, shape, perm, selected.transpose2D)
}

// TransposeBytes is [Transpose] for elements of size 1, 2, 4 or 8 bytes.
func TransposeBytes(p *Pool, dst, src []byte, size int, shape, perm []int) {
	switch size {
	case 1:
		transpose(p, dst, src, shape, perm, transposeBlock[byte])
	case 2:
		transpose(p, castBytes[uint16](dst), castBytes[uint16](src), shape, perm, transposeBlock[uint16])
	case 4:
		Transpose(p, castBytes[float32](dst), castBytes[float32](src), shape, perm) // moves keep all bits
	case 8:
		transpose(p, castBytes[uint64](dst), castBytes[uint64](src), shape, perm, transposeBlock[uint64])
	default:
		panic(fmt.Sprintf("kernel: transpose of %d-byte elements", size))
	}
}

// castBytes views bytes as numbers; a rest shorter than one number is dropped.
func castBytes[T any](b []byte) []T {
	var z T
	n := len(b) / int(unsafe.Sizeof(z))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n)
}

// transposeBlock is transposeRef for any element.
func transposeBlock[T any](dst []T, dstStride int, src []T, srcStride, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = v
		}
	}
}

// axis is one dimension of the destination: its size, and how far apart its elements
// lie in the source and in the destination.
type axis struct{ size, src, dst int }

// foldAxes describes the transposition with as few axes as possible: axes of size 1 go,
// and neighbours that stay neighbours become one. The last axis of dst comes last.
func foldAxes(shape, perm []int) []axis {
	stride := make([]int, len(shape))
	total := 1
	for i := len(shape) - 1; i >= 0; i-- {
		stride[i] = total
		total *= shape[i]
	}
	var out []axis // innermost first
	dst := 1
	for i := len(perm) - 1; i >= 0; i-- {
		a := axis{shape[perm[i]], stride[perm[i]], dst}
		dst *= a.size
		if n := len(out); n > 0 && a.src == out[n-1].src*out[n-1].size {
			out[n-1].size *= a.size
		} else if a.size != 1 {
			out = append(out, a)
		}
	}
	slices.Reverse(out)
	return out
}

// Sizes of the pieces that are handed out: a tile fits the first-level cache.
const (
	tileRows, tileCols = 64, 128
	copyChunk          = 1 << 14
)

func transpose[T any](p *Pool, dst, src []T, shape, perm []int, block func(dst []T, ds int, src []T, ss, rows, cols int)) {
	total := 1
	for _, n := range shape {
		total *= n
	}
	need("transpose input", len(src), total)
	need("transpose output", len(dst), total)
	if total == 0 {
		return
	}
	axes := foldAxes(shape, perm)
	if len(axes) == 0 {
		dst[0] = src[0]
		return
	}
	inner := axes[len(axes)-1]
	if inner.src == 1 {
		copyRuns(p, dst, src, axes)
		return
	}
	unit := slices.IndexFunc(axes, func(a axis) bool { return a.src == 1 })
	outer := slices.Delete(slices.Clone(axes[:len(axes)-1]), unit, unit+1)
	cols := axes[unit]
	rb, cb := ceilDiv(inner.size, tileRows), ceilDiv(cols.size, tileCols)
	p.Run(count(outer)*rb*cb, func(_, i int) {
		r0, c0 := i%rb*tileRows, i/rb%cb*tileCols
		s, d := locate(outer, i/(rb*cb))
		block(dst[d+c0*cols.dst+r0:], cols.dst, src[s+r0*inner.src+c0:], inner.src,
			min(tileRows, inner.size-r0), min(tileCols, cols.size-c0))
	})
}

// copyRuns is the case in which the last axis stays in place: runs are copied whole.
func copyRuns[T any](p *Pool, dst, src []T, axes []axis) {
	outer, run := axes[:len(axes)-1], axes[len(axes)-1].size
	runs := count(outer)
	if runs == 1 { // nothing moves at all
		p.Run(ceilDiv(run, copyChunk), func(_, i int) {
			lo, hi := i*copyChunk, min(run, (i+1)*copyChunk)
			copy(dst[lo:hi], src[lo:hi])
		})
		return
	}
	last := outer[len(outer)-1]
	each := max(1, min(last.size, copyChunk/run))
	parts := ceilDiv(last.size, each)
	p.Run(runs/last.size*parts, func(_, i int) {
		s, d := locate(outer[:len(outer)-1], i/parts)
		for j := i % parts * each; j < min(last.size, (i%parts+1)*each); j++ {
			copy(dst[d+j*last.dst:][:run], src[s+j*last.src:][:run])
		}
	})
}

func count(axes []axis) int {
	n := 1
	for _, a := range axes {
		n *= a.size
	}
	return n
}

// locate returns the offsets of the i-th element of the axes.
func locate(axes []axis, i int) (src, dst int) {
	for j := len(axes) - 1; j >= 0; j-- {
		a := axes[j]
		src += i % a.size * a.src
		dst += i % a.size * a.dst
		i /= a.size
	}
	return src, dst
}
