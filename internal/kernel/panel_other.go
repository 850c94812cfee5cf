//go:build !amd64 || noasm

package kernel

func (l level) gemmPanel(k int, a []float32, aPanel int, b, c []float32, cStride, m, n int, acc bool) {
	gemmPanelRef(k, a, aPanel, b, c, cStride, m, n, acc)
}

func (l level) transpose2D(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	transposeRef(dst, dstStride, src, srcStride, rows, cols)
}

func (l level) copyRows(dst []float32, dstStride int, src []float32, srcStride, rows, n, width int) {
	copyRowsRef(dst, dstStride, src, srcStride, rows, n, width)
}

func (l level) convPanel(dst, src []float32, base, chans, chanStride int, offs []int32, cc *convColumns, nr int) {
	convPanelRef(dst, src, base, chans, chanStride, offs, cc, nr)
}

func (l level) softmaxTile(s []float32, rows, nr int, top, sum, shrink []float32) {
	softmaxTileRef(s, rows, nr, top, sum, shrink)
}

func (l level) scaleTile(s []float32, rows, nr int, f []float32) { scaleTileRef(s, rows, nr, f) }
