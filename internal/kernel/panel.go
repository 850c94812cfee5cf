package kernel

// geometry is the tile of a level's micro-kernel: mr rows of A by nr columns of B.
func (l level) geometry() (mr, nr int) {
	switch l {
	case levelAVX512:
		return 12, 32
	case levelAVX2:
		return 6, 16
	}
	return 4, 4
}

// gemmPanelRef multiplies m rows of packed A by one panel of packed B:
//
//	C[i][j] (+)= Σ_l A[i][l]·B[l][j]   for i < m, j < n, l < k
//
// A is stored as panels of mr rows that lie aPanel numbers apart, each panel as k
// groups of mr numbers; B is k groups of nr numbers; rows of C lie cStride apart. Rows
// and columns past m and n are not stored. acc says to add to C.
func gemmPanelRef(k int, a []float32, aPanel int, b, c []float32, cStride, m, n int, acc bool) {
	const mr, nr = 4, 4
	for i := 0; i < m; i += mr {
		t := tile4x4(a[i/mr*aPanel:][:k*mr], b[:k*nr])
		for r := range min(mr, m-i) {
			row := c[(i+r)*cStride:][:n]
			for j := range row {
				if acc {
					row[j] += t[r][j]
				} else {
					row[j] = t[r][j]
				}
			}
		}
	}
}

// tile4x4 keeps sixteen sums in registers while it walks down both panels.
func tile4x4(a, b []float32) [4][4]float32 {
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	var c20, c21, c22, c23, c30, c31, c32, c33 float32
	for len(a) >= 4 && len(b) >= 4 {
		a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
		b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
		c00, c01, c02, c03 = c00+a0*b0, c01+a0*b1, c02+a0*b2, c03+a0*b3
		c10, c11, c12, c13 = c10+a1*b0, c11+a1*b1, c12+a1*b2, c13+a1*b3
		c20, c21, c22, c23 = c20+a2*b0, c21+a2*b1, c22+a2*b2, c23+a2*b3
		c30, c31, c32, c33 = c30+a3*b0, c31+a3*b1, c32+a3*b2, c33+a3*b3
		a, b = a[4:], b[4:]
	}
	return [4][4]float32{{c00, c01, c02, c03}, {c10, c11, c12, c13}, {c20, c21, c22, c23}, {c30, c31, c32, c33}}
}

// clearTile is the product over no k at all.
func clearTile(c []float32, cStride, m, n int, acc bool) {
	for i := 0; i < m && !acc; i++ {
		clear(c[i*cStride:][:n])
	}
}

// transposeRef writes dst[c][r] = src[r][c] for r < rows, c < cols.
func transposeRef(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = v
		}
	}
}

// copyRowsRef copies n numbers of each row and clears the rest up to width.
func copyRowsRef(dst []float32, dstStride int, src []float32, srcStride, rows, n, width int) {
	for r := range rows {
		out := dst[r*dstStride:][:width]
		clear(out[copy(out, src[r*srcStride:][:n]):])
	}
}

// span is the number of elements that rows of the given width and stride reach over.
func span(rows, stride, width int) int {
	if rows <= 0 || width <= 0 {
		return 0
	}
	return (rows-1)*stride + width
}
