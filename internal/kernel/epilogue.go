package kernel

// check panics unless the operands of the epilogue fit an m×n result.
func (e *Epilogue) check(m, n, ldc int) {
	if e.RowBias != nil {
		need("row bias", len(e.RowBias), m)
	}
	if e.ColBias != nil {
		need("column bias", len(e.ColBias), n)
	}
	if e.Residual != nil {
		need("residual", len(e.Residual), span(m, ldc, n))
	}
}

// apply finishes rows m0…m1, columns n0…n1 of c. It runs on blocks that the
// micro-kernel has just written and that are still in the cache.
func (e *Epilogue) apply(c []float32, ldc, m0, m1, n0, n1 int) {
	alpha := e.Alpha
	if alpha == 0 {
		alpha = 1
	}
	if n0 >= n1 || (alpha == 1 && e.RowBias == nil && e.ColBias == nil && e.Residual == nil && e.Act == ActNone) {
		return
	}
	for i := m0; i < m1; i++ {
		row := c[i*ldc+n0 : i*ldc+n1]
		bias := float32(0)
		if e.RowBias != nil {
			bias = e.RowBias[i]
		}
		switch {
		case alpha != 1:
			MulAddScalar(row, row, alpha, bias)
		case bias != 0:
			AddScalar(row, row, bias)
		}
		if e.ColBias != nil {
			Add(row, row, e.ColBias[n0:n1])
		}
		if e.Act != ActNone {
			e.Act.Apply(row, row)
		}
		if e.Residual != nil {
			Add(row, row, e.Residual[i*ldc+n0:i*ldc+n1])
		}
	}
}
