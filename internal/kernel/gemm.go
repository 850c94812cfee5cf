package kernel

// Epilogue is what happens to a matrix product before it is stored:
//
//	C = act(alpha·A·B + rowBias[i] + colBias[j]) + residual[i][j]
//
// The zero value changes nothing.
type Epilogue struct {
	RowBias  []float32 // one number a row of C, or nil
	ColBias  []float32 // one number a column of C, or nil
	Residual []float32 // laid out as C, or nil; must not overlap C (Accumulate adds to C)
	Alpha    float32   // factor of the product; 0 means 1
	Act      Act
}

// GemmArgs describes C = A·B (or C += A·B) with an epilogue: A is M×K, B is K×N, C
// has M rows of N numbers that lie LDC apart. Each of A and B is given either as a
// view or packed.
type GemmArgs struct {
	M, N, K    int
	A          Mat     // used when PA is nil
	PA         *Packed // from PackA(…, M, K)
	B          Mat     // used when PB is nil
	PB         *Packed // from PackB(…, K, N)
	C          []float32
	LDC        int  // at least N
	Accumulate bool // add to what C holds, before the epilogue (Alpha must then be 0 or 1)
	Ep         Epilogue
}

// GemmScratch returns the scratch elements that [Gemm] needs on a pool of the given
// threads, for any implementation.
func GemmScratch(threads, m, n, k int, packedA, packedB bool) int {
	most := 0
	for l := levelRef; l <= bestLevel(); l++ {
		g := planGemm(l, threads, m, n, k, packedA, packedB)
		alone := planGemm(l, 1, m, n, k, packedA, packedB) // GemmBatch gives each thread whole products
		most = max(most, g.total(threads), threads*alone.scratch())
	}
	return most + alignSlack
}

// Gemm computes the product that g describes. scratch must hold GemmScratch
// elements; nil lets Gemm allocate.
func Gemm(p *Pool, scratch []float32, g GemmArgs) {
	l := g.level()
	g.check(l)
	r := gemmRun{gemmPlan: planGemm(l, p.Threads(), g.M, g.N, g.K, g.PA != nil, g.PB != nil)}
	r.cols = &matColumns{&r.gemmPlan, g.B}
	r.run(p, scratch, &g)
}

// GemmBatch runs batch products; at(i) describes the i-th and may be called more than
// once, from any goroutine. All of them must have the same M, N and K and the same
// operands packed. scratch must hold GemmScratch elements; nil lets it allocate.
func GemmBatch(p *Pool, scratch []float32, batch int, at func(i int) GemmArgs) {
	threads := p.Threads()
	if batch < 2*threads {
		for i := range batch {
			Gemm(p, scratch, at(i))
		}
		return
	}
	// Whole products are tasks enough, and each then packs its operands once.
	first := at(0)
	l := first.level()
	plan := planGemm(l, 1, first.M, first.N, first.K, first.PA != nil, first.PB != nil)
	work := plan.scratch()
	scratch = aligned(scratch, threads*work)
	p.Run(batch, func(worker, i int) {
		g := at(i)
		if g.M != first.M || g.N != first.N || g.K != first.K {
			panic("kernel: products of one batch differ in shape")
		}
		g.check(l)
		r := gemmRun{gemmPlan: plan}
		r.cols = &matColumns{&r.gemmPlan, g.B}
		if g.PB != nil {
			r.b = g.PB.data
		}
		for t := range plan.tasks() {
			r.task(&g, scratch[worker*work:][:work], t)
		}
	})
}
