//go:build amd64 && !noasm

package kernel

import "unsafe"

// gemmPanel is gemmPanelRef for the tile of level l. It checks the reach of its
// arguments, so that no assembly runs past a slice.
func (l level) gemmPanel(k int, a []float32, aPanel int, b, c []float32, cStride, m, n int, acc bool) {
	if k == 0 {
		clearTile(c, cStride, m, n, acc)
		return
	}
	if l == levelRef || m == 0 || n == 0 {
		gemmPanelRef(k, a, aPanel, b, c, cStride, m, n, acc)
		return
	}
	mr, nr := l.geometry()
	_ = a[(m-1)/mr*aPanel+k*mr-1]
	_ = b[k*nr-1]
	_ = c[span(m, cStride, n)-1]
	flag := 0
	if acc {
		flag = 1
	}
	if l == levelAVX512 {
		gemmPanelAVX512(k, &a[0], aPanel, &b[0], &c[0], cStride, m, n, flag)
	} else {
		gemmPanelAVX2(k, &a[0], aPanel, &b[0], &c[0], cStride, m, n, flag)
	}
}

// transpose2D is transposeRef, by vectors where the level has them.
func (l level) transpose2D(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if l == levelRef || rows == 0 || cols == 0 {
		transposeRef(dst, dstStride, src, srcStride, rows, cols)
		return
	}
	_ = src[span(rows, srcStride, cols)-1]
	_ = dst[span(cols, dstStride, rows)-1]
	whole, rest := transpose16AVX512, transposeAVX512
	r, c := rows&^15, cols&^15
	if l == levelAVX2 {
		whole, rest = transposeAVX2, transposeEdge
		r, c = rows&^3, cols&^7
	}
	if r == 0 || c == 0 {
		rest(&dst[0], dstStride, &src[0], srcStride, rows, cols)
		return
	}
	whole(&dst[0], dstStride, &src[0], srcStride, r, c)
	if c < cols {
		rest(&dst[c*dstStride], dstStride, &src[c], srcStride, r, cols-c)
	}
	if r < rows {
		rest(&dst[r], dstStride, &src[r*srcStride], srcStride, rows-r, cols)
	}
}

// transposeEdge is transposeRef behind the signature of the assembly.
func transposeEdge(dst *float32, dstStride int, src *float32, srcStride, rows, cols int) {
	transposeRef(unsafe.Slice(dst, span(cols, dstStride, rows)), dstStride,
		unsafe.Slice(src, span(rows, srcStride, cols)), srcStride, rows, cols)
}

// copyRows is copyRowsRef, by vectors where the level has them.
func (l level) copyRows(dst []float32, dstStride int, src []float32, srcStride, rows, n, width int) {
	if rows == 0 || width == 0 {
		return
	}
	full := l == levelAVX2 && n == 16 && width == 16
	if n == 0 || (l != levelAVX512 && !full) || width > 32 {
		copyRowsRef(dst, dstStride, src, srcStride, rows, n, width)
		return
	}
	_ = src[span(rows, srcStride, n)-1]
	_ = dst[span(rows, dstStride, width)-1]
	if full {
		copyRowsAVX2(&dst[0], dstStride, &src[0], srcStride, rows)
		return
	}
	copyRowsAVX512(&dst[0], dstStride, &src[0], srcStride, rows, n, width)
}

// convPanel is convPanelRef, by vectors where the level has them. Set bits stand for
// columns inside the picture, so masked loads stay inside src.
func (l level) convPanel(dst, src []float32, base, chans, chanStride int, offs []int32, cc *convColumns, nr int) {
	if l != levelAVX512 || chans == 0 {
		convPanelRef(dst, src, base, chans, chanStride, offs, cc, nr)
		return
	}
	_ = dst[chans*len(offs)*nr-1]
	_ = src[base+chans*chanStride-1]
	f := convGatherAVX512
	if cc.runs {
		f = convRunsAVX512
	}
	f(&dst[0], &src[base], chans, chanStride, len(offs), &offs[0], &cc.bits[0], &cc.idx[0])
}

// softmaxTile is softmaxTileRef, by vectors where the level has them.
func (l level) softmaxTile(s []float32, rows, nr int, top, sum, shrink []float32) {
	if l == levelRef || rows == 0 {
		softmaxTileRef(s, rows, nr, top, sum, shrink)
		return
	}
	_, _, _, _ = s[rows*nr-1], top[nr-1], sum[nr-1], shrink[nr-1]
	if l == levelAVX512 {
		softmaxTileAVX512(&s[0], rows, &top[0], &sum[0], &shrink[0])
	} else {
		softmaxTileAVX2(&s[0], rows, &top[0], &sum[0], &shrink[0])
	}
}

// scaleTile is scaleTileRef, by vectors where the level has them.
func (l level) scaleTile(s []float32, rows, nr int, f []float32) {
	if l == levelRef || rows == 0 {
		scaleTileRef(s, rows, nr, f)
		return
	}
	_, _ = s[rows*nr-1], f[nr-1]
	if l == levelAVX512 {
		scaleTileAVX512(&s[0], rows, &f[0])
	} else {
		scaleTileAVX2(&s[0], rows, &f[0])
	}
}
