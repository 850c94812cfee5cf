package kernel

// Blocking. One block of K runs through the micro-kernel at a time: a panel of A
// (12·kBlock numbers) stays in the first-level cache while colBlock columns of B pass
// by from the second level. DESIGN.md has the measurements.
const (
	kBlock      = 384
	rowBlock    = 288     // rows that a task packs at a time, and finishes at a time
	colBlock    = 256     // columns of B that pass by a panel of A before the next one
	narrowest   = 128     // columns below which a block of B costs too many passes over A
	wholeA      = 384_000 // numbers of A that a task packs over the whole of K
	wholeB      = 1 << 21 // numbers of B up to which all of it may be packed before the product
	serialWork  = 1 << 17 // multiply-adds below which handing out work costs more than it brings
	packDepth   = 32      // rows of B packed for all panels in turn: they may lie in a page each
	largestTile = 12 * 32 // numbers of C that a micro-kernel holds
	tasksEach   = 4       // tasks a thread to aim for: evens out threads of unequal speed
)

// gemmPlan says how C is cut into tasks. Every task computes its part over the whole
// of K, in blocks of kBlock: so its bits depend on neither plan nor threads.
type gemmPlan struct {
	level   level
	mr, nr  int
	m, n, k int
	kBlock  int
	depth   int  // rows of B that are packed for all panels in turn
	rows    int  // rows of a task, a multiple of mr
	panels  int  // panels of a task
	byRows  bool // B is there as a whole before the tasks start
	shared  int  // numbers for a B that is packed by all workers first
	aSize   int  // numbers for the A of one task
	bSize   int  // numbers for the B of one task
}

// planGemm plans an m×n×k product. packedA and packedB say which operands come packed.
func planGemm(l level, threads, m, n, k int, packedA, packedB bool) gemmPlan {
	g := gemmPlan{level: l, m: m, n: n, k: k, kBlock: kBlock, depth: packDepth, byRows: packedB}
	g.mr, g.nr = l.geometry()
	want := tasksEach * threads
	if threads == 1 || m*n*k < serialWork {
		want = 1
	}
	all := g.allPanels()
	if !packedB && want > 1 && all*g.nr < want*narrowest && all*g.nr*k <= wholeB {
		g.byRows, g.shared = true, all*g.nr*k
	}
	if g.byRows {
		g.planRows(want, packedA)
	} else {
		g.planColumns(want, packedA)
	}
	return g
}

// planRows cuts C for a B that is packed as a whole: few rows and all columns a task,
// columns are cut only when there are too few rows.
func (g *gemmPlan) planRows(want int, packedA bool) {
	limit := rowBlock
	if !packedA {
		limit = min(rowBlock, max(4*g.mr, wholeA/max(g.k, 1)))
	}
	g.rows = evenly(g.m, min(limit, max(4*g.mr, ceilDiv(g.m, want))), g.mr)
	g.panels = evenly(g.allPanels(), max(1, g.allPanels()/ceilDiv(want, g.rowTasks())), 1)
	if !packedA {
		g.aSize = g.rows * g.k
	}
}

// planColumns cuts C for a B that tasks pack themselves: all rows and few columns a
// task, rows are cut only when there are too few columns.
func (g *gemmPlan) planColumns(want int, packedA bool) {
	all := g.allPanels()
	fair := max(ceilDiv(all, want), narrowest/g.nr)
	g.panels = evenly(all, min(colBlock/g.nr, fair), 1)
	g.rows = evenly(g.m, max(2*g.mr, ceilDiv(g.m, ceilDiv(want, g.panelTasks()))), g.mr)
	g.bSize = g.panels * g.nr * min(g.k, g.kBlock)
	if !packedA {
		g.aSize = min(g.rows, roundUp(rowBlock, g.mr)) * min(g.k, g.kBlock)
	}
}

// scratch is the numbers that one worker needs, in whole cache lines.
func (g *gemmPlan) scratch() int { return roundUp(g.aSize, 16) + roundUp(g.bSize, 16) }

// total is the numbers that the whole product needs.
func (g *gemmPlan) total(threads int) int { return roundUp(g.shared, 16) + threads*g.scratch() }

func (g *gemmPlan) tasks() int      { return g.rowTasks() * g.panelTasks() }
func (g *gemmPlan) rowTasks() int   { return ceilDiv(g.m, g.rows) }
func (g *gemmPlan) allPanels() int  { return ceilDiv(g.n, g.nr) }
func (g *gemmPlan) panelTasks() int { return ceilDiv(g.allPanels(), g.panels) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func roundUp(a, b int) int { return ceilDiv(a, b) * b }

// evenly returns the block size, a multiple of unit and about limit at most, that
// cuts n into nearly equal blocks.
func evenly(n, limit, unit int) int {
	if n <= 0 {
		return unit
	}
	blocks := ceilDiv(n, max(limit, unit))
	return roundUp(ceilDiv(n, blocks), unit)
}
