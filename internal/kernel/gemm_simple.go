package kernel

// Packed is a weight matrix in the order in which the micro-kernels read it.
type Packed struct {
	rows, cols int
	data       []float32
}

// PackA packs the m×k matrix src for use as the left operand of [Gemm].
func PackA(src Source, m, k int) *Packed { return pack(src, m, k) }

// PackB packs the k×n matrix src for use as the right operand of [Gemm].
func PackB(src Source, k, n int) *Packed { return pack(src, k, n) }

func pack(src Source, r, c int) *Packed {
	src.check("matrix to pack", r, c)
	p := &Packed{r, c, make([]float32, r*c)}
	for i := range r {
		src.widen(p.data[i*c:], i*src.RowStride, src.ColStride, c)
	}
	return p
}

// Bytes returns the memory that the packed matrix takes.
func (p *Packed) Bytes() int { return 4 * len(p.data) }

// Gemm computes the product that g describes. scratch must hold GemmScratch
// elements; nil lets Gemm allocate.
func Gemm(p *Pool, scratch []float32, g GemmArgs) {
	if g.PA != nil {
		g.A = RowMajor(g.PA.data, g.K)
	}
	if g.PB != nil {
		g.B = RowMajor(g.PB.data, g.N)
	}
	p.Run(g.M, func(_, i int) { gemmRowRef(g, i) })
}

func gemmRowRef(g GemmArgs, i int) {
	row := g.C[i*g.LDC:][:g.N]
	alpha := g.Ep.Alpha
	if alpha == 0 {
		alpha = 1
	}
	tmp := make([]float32, g.N)
	for k := range g.K {
		a := g.A.Data[i*g.A.RS+k*g.A.CS]
		if g.B.CS == 1 {
			for j, b := range g.B.Data[k*g.B.RS:][:g.N] {
				tmp[j] += a * b
			}
			continue
		}
		for j := range tmp {
			tmp[j] += a * g.B.Data[k*g.B.RS+j*g.B.CS]
		}
	}
	for j := range tmp {
		v := tmp[j] * alpha
		if g.Accumulate {
			v += row[j]
		}
		if g.Ep.RowBias != nil {
			v += g.Ep.RowBias[i]
		}
		if g.Ep.ColBias != nil {
			v += g.Ep.ColBias[j]
		}
		tmp[j] = v
	}
	g.Ep.Act.Apply(tmp, tmp)
	for j := range tmp {
		if g.Ep.Residual != nil {
			tmp[j] += g.Ep.Residual[i*g.LDC+j]
		}
		row[j] = tmp[j]
	}
}

// GemmScratch returns the scratch elements that [Gemm] needs with the given threads.
func GemmScratch(threads, m, n, k int, packedA, packedB bool) int { return 0 }

// GemmBatch runs batch products; at(i) describes the i-th. scratch must hold
// GemmScratch elements for the largest of them; nil lets GemmBatch allocate.
func GemmBatch(p *Pool, scratch []float32, batch int, at func(i int) GemmArgs) {
	for i := range batch {
		Gemm(p, scratch, at(i))
	}
}
