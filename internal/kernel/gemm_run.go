package kernel

import "fmt"

// level returns the implementation that the packed operands, if any, are packed for.
func (g *GemmArgs) level() level {
	switch {
	case g.PA != nil:
		return g.PA.level
	case g.PB != nil:
		return g.PB.level
	}
	return selected
}

// check panics unless all operands have the size that g says.
func (g *GemmArgs) check(l level) {
	g.PA.check(l, true, g.M, g.K)
	g.PB.check(l, false, g.N, g.K)
	if g.PA == nil {
		g.A.check("A", g.M, g.K)
	}
	if g.PB == nil {
		g.B.check("B", g.K, g.N)
	}
	if g.LDC < g.N && g.M > 1 {
		panic(fmt.Sprintf("kernel: rows of C lie %d apart and hold %d", g.LDC, g.N))
	}
	need("C", len(g.C), span(g.M, g.LDC, g.N))
	g.Ep.check(g.M, g.N, g.LDC)
}

// check panics unless p is absent or is the operand that a product wants.
func (p *Packed) check(l level, left bool, outer, k int) {
	if p != nil && (p.level != l || p.left != left || p.outer != outer || p.k != k) {
		panic(fmt.Sprintf("kernel: packed matrix is %d×%d for %s (left: %v), the product wants %d×%d for %s (left: %v)",
			p.outer, p.k, levelNames[p.level], p.left, outer, k, levelNames[l], left))
	}
}

// columns is a right operand that is packed on the fly, panel by panel, and the place
// of its panels in C.
type columns interface {
	pack(dst []float32, p, k0, kb int) // rows k0…k0+kb of panel p, as packPanel writes them
	place(p int) (at, n int)           // where the panel starts in a row of C, and its columns
}

// matColumns are the columns of a matrix view.
type matColumns struct {
	plan *gemmPlan
	b    Mat
}

func (c *matColumns) pack(dst []float32, p, k0, kb int) {
	at, n := c.place(p)
	c.plan.level.packPanel(dst, c.plan.nr, c.b.Transposed(), at, n, k0, kb)
}

func (c *matColumns) place(p int) (at, n int) {
	nr := c.plan.nr
	return p * nr, min(nr, c.plan.n-p*nr)
}

// gemmRun is a product being computed.
type gemmRun struct {
	gemmPlan
	cols columns
	b    []float32 // all of B, packed, when the plan goes by rows

	each, apart int // columns of a panel lie in groups of each, which start apart numbers from one another; 0: in one
}

// run computes all tasks on the pool.
func (r *gemmRun) run(p *Pool, scratch []float32, g *GemmArgs) {
	work := r.scratch()
	scratch = aligned(scratch, r.total(p.Threads()))
	switch {
	case g.PB != nil:
		r.b = g.PB.data
	case r.shared > 0:
		r.b = carve(&scratch, r.shared)
		blocks := ceilDiv(r.k, r.kBlock)
		p.Run(r.allPanels()*blocks, func(_, i int) {
			panel, k0 := i/blocks, i%blocks*r.kBlock
			r.cols.pack(r.b[(panel*r.k+k0)*r.nr:], panel, k0, min(r.kBlock, r.k-k0))
		})
	}
	p.Run(r.tasks(), func(worker, i int) {
		r.task(g, scratch[worker*work:][:work], i)
	})
}

// gemmTile is the part of C that a task computes, with its scratch.
type gemmTile struct {
	m0, m1, p0, p1 int
	a, b           []float32
}

// task computes the i-th part of C. Neighbouring tasks share their rows.
func (r *gemmRun) task(g *GemmArgs, work []float32, i int) {
	t := gemmTile{m0: i / r.panelTasks() * r.rows, p0: i % r.panelTasks() * r.panels}
	t.m1 = min(r.m, t.m0+r.rows)
	t.p1 = min(r.allPanels(), t.p0+r.panels)
	t.a, t.b = carve(&work, r.aSize), carve(&work, r.bSize)
	if r.byRows {
		r.taskByRows(g, &t)
	} else {
		r.taskByColumns(g, &t)
	}
}

// taskByRows computes a tile when all of B is packed: A is packed over the whole of K
// first, then column blocks small enough to stay in the cache go through all of K.
func (r *gemmRun) taskByRows(g *GemmArgs, t *gemmTile) {
	a, aPanel := r.leftBlock(g, t, t.m0, t.m1, 0, r.k)
	step := max(1, colBlock/r.nr)
	for p0 := t.p0; p0 < t.p1; p0 += step {
		p1 := min(t.p1, p0+step)
		for k0 := 0; k0 < r.k || k0 == 0; k0 += r.kBlock {
			kb := min(r.kBlock, r.k-k0)
			t.a, t.b = a[k0*r.mr:], r.b[(p0*r.k+k0)*r.nr:]
			r.block(g, t, t.m0, t.m1, p0, p1, aPanel, r.k*r.nr, kb, k0 > 0)
		}
		r.finish(g, t.m0, t.m1, p0, p1)
	}
}

// taskByColumns computes a tile whose columns are packed on the fly, one block of K
// at a time, each block meeting all rows of the tile.
func (r *gemmRun) taskByColumns(g *GemmArgs, t *gemmTile) {
	for k0 := 0; k0 < r.k || k0 == 0; k0 += r.kBlock {
		kb := min(r.kBlock, r.k-k0)
		for d := 0; d < kb; d += r.depth {
			for p := t.p0; p < t.p1; p++ {
				r.cols.pack(t.b[((p-t.p0)*kb+d)*r.nr:], p, k0+d, min(r.depth, kb-d))
			}
		}
		step := roundUp(rowBlock, r.mr)
		for m0 := t.m0; m0 < t.m1; m0 += step {
			m1 := min(t.m1, m0+step)
			a, aPanel := r.leftBlock(g, t, m0, m1, k0, kb)
			r.block(g, &gemmTile{a: a, b: t.b}, m0, m1, t.p0, t.p1, aPanel, kb*r.nr, kb, k0 > 0)
			if k0+kb == r.k {
				r.finish(g, m0, m1, t.p0, t.p1)
			}
		}
	}
}

// block multiplies rows m0…m1 by panels p0…p1 over kb numbers of K; t.a and t.b start
// there. A panel of A stays in the first-level cache while the panels of B, which are
// in the second level, pass by.
func (r *gemmRun) block(g *GemmArgs, t *gemmTile, m0, m1, p0, p1, aPanel, bPanel, kb int, more bool) {
	for i := m0; i < m1; i += r.mr {
		a, rows := t.a[(i-m0)/r.mr*aPanel:], min(r.mr, m1-i)
		for p := p0; p < p1; p++ {
			at, n := r.cols.place(p)
			if r.each > 0 && n > r.each {
				r.tileApart(kb, a, aPanel, t.b[(p-p0)*bPanel:], g.C[i*g.LDC+at:], g.LDC, rows, n, more || g.Accumulate)
				continue
			}
			r.level.gemmPanel(kb, a, aPanel, t.b[(p-p0)*bPanel:], g.C[i*g.LDC+at:], g.LDC, rows, n, more || g.Accumulate)
		}
	}
}

// tileApart computes a tile whose columns do not lie together in C.
func (r *gemmRun) tileApart(kb int, a []float32, aPanel int, b, c []float32, ldc, rows, n int, acc bool) {
	var tile [largestTile]float32
	for i := 0; acc && i < rows; i++ {
		for j := 0; j < n; j += r.each {
			copy(tile[i*r.nr+j:][:r.each], c[i*ldc+j/r.each*r.apart:])
		}
	}
	r.level.gemmPanel(kb, a, aPanel, b, tile[:], r.nr, rows, n, acc)
	for i := range rows {
		for j := 0; j < n; j += r.each {
			copy(c[i*ldc+j/r.each*r.apart:][:r.each], tile[i*r.nr+j:])
		}
	}
}

// leftBlock returns rows m0…m1 of A over a block of K as panels, and their distance.
func (r *gemmRun) leftBlock(g *GemmArgs, t *gemmTile, m0, m1, k0, kb int) (a []float32, aPanel int) {
	if g.PA != nil {
		return g.PA.data[m0*r.k+k0*r.mr:], r.k * r.mr
	}
	for i := m0; i < m1; i += r.mr {
		r.level.packPanel(t.a[(i-m0)*kb:], r.mr, g.A, i, min(r.mr, m1-i), k0, kb)
	}
	return t.a, kb * r.mr
}

// finish applies the epilogue to rows m0…m1 of panels p0…p1, joining panels that are
// neighbours in C.
func (r *gemmRun) finish(g *GemmArgs, m0, m1, p0, p1 int) {
	from, to := 0, 0
	for p := p0; p < p1; p++ {
		at, n := r.cols.place(p)
		each := n
		if r.each > 0 {
			each = r.each
		}
		for ; n > 0; n -= each {
			if at != to {
				g.Ep.apply(g.C, g.LDC, m0, m1, from, to)
				from = at
			}
			to = at + each
			at += r.apart
		}
	}
	g.Ep.apply(g.C, g.LDC, m0, m1, from, to)
}
