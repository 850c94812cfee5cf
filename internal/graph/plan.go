package graph

import (
	"fmt"
	"slices"

	"winnow/internal/tensor"
)

// blockAlign is the alignment of arena blocks: a cache line, and the widest vector register.
const blockAlign = 64

// guardBytes lie behind every block when Options.Paranoid is set.
const guardBytes = 64

// buffer is one block of the arena with the span of steps in which it holds something. Steps count from 0; -1 is before
// the first step (converted inputs), len(steps) after the last (outputs).
type buffer struct {
	size, off   int // bytes; size includes padding and guard
	used        int // bytes without padding
	first, last int
}

// overlaps reports whether two buffers are in use at the same time.
func (b *buffer) overlaps(c *buffer) bool { return b.first <= c.last && c.first <= b.last }

// planner assigns values to buffers.
type planner struct {
	*Program
	parent []ValueID // union-find over values sharing memory; the representative is the oldest
	first  []int     // by representative
	last   []int     // by representative: last step that reads any member
	bound  []bool    // by representative: memory outside of the arena (input or constant)
	block  []int     // by representative: index into buffers, -1 if none
}

// plan decides where every value lies.
func (g *Program) plan() error {
	pl := &planner{Program: g}
	pl.init()
	pl.joinViews()
	pl.liveness()
	if !g.opt.NoReuse {
		pl.joinInPlace()
	}
	pl.allocate()
	g.stats.ArenaBytes = place(g.buffers, g.opt.NoReuse)
	if g.stats.ArenaBytes > g.opt.MaxArena {
		return &ShapeError{Source: g.ir.src.Source, Why: fmt.Sprintf("the intermediate values need %.1f GiB, the limit is "+
			"%.1f GiB; a smaller batch or smaller pictures need less", gib(g.stats.ArenaBytes), gib(g.opt.MaxArena))}
	}
	pl.bindBlocks()
	return nil
}

func gib(n int) float64 { return float64(n) / (1 << 30) }

func (pl *planner) init() {
	n := len(pl.ir.vals)
	pl.parent, pl.first, pl.last = make([]ValueID, n), make([]int, n), make([]int, n)
	pl.bound, pl.block = make([]bool, n), make([]int, n)
	for i := range pl.parent {
		v := &pl.ir.vals[i]
		pl.parent[i], pl.first[i], pl.last[i], pl.block[i] = ValueID(i), -1, -1, -1
		pl.bound[i] = v.konst != nil || v.input >= 0 && v.typ.DType == v.typ.Storage()
	}
}

func (pl *planner) find(v ValueID) ValueID {
	for pl.parent[v] != v {
		v = pl.parent[v]
	}
	return v
}

// joinViews lets the outputs of views share their input's memory.
func (pl *planner) joinViews() {
	for _, n := range pl.ir.nodes {
		if pl.ir.isView(n) {
			pl.parent[n.Outputs[0]] = pl.find(n.Inputs[0])
		}
	}
}

// liveness finds for every group the step that defines it and the last one that reads it.
func (pl *planner) liveness() {
	for s := range pl.steps {
		n := pl.steps[s].node
		for i, id := range n.Inputs {
			if id != None && (n.absorbed == nil || !n.absorbed[i]) {
				pl.last[pl.find(id)] = s
			}
		}
		for _, id := range n.Outputs {
			r := pl.find(id)
			pl.first[r], pl.last[r] = s, max(pl.last[r], s)
		}
	}
	for _, o := range pl.ir.outputs {
		end := len(pl.steps)
		if !o.back { // collected before the reverse pass begins
			end = pl.forward
		}
		pl.last[pl.find(o.value)] = max(end, pl.last[pl.find(o.value)])
	}
}

// joinInPlace lets results take over the memory of operands that are read for the last time.
func (pl *planner) joinInPlace() {
	for s := range pl.steps {
		n := pl.steps[s].node
		out := n.Outputs[0]
		for _, i := range n.op.InPlace {
			if pl.canTake(n, i, s) {
				from, to := pl.find(n.Inputs[i]), pl.find(out)
				pl.parent[to] = from
				pl.last[from] = max(pl.last[from], pl.last[to])
				pl.stats.InPlace++
				break
			}
		}
	}
}

// canTake reports whether output 0 of n may be written over input i at step s.
func (pl *planner) canTake(n *irNode, i, s int) bool {
	id := n.in(i)
	if id == None {
		return false
	}
	r := pl.find(id)
	if pl.bound[r] || pl.last[r] != s || pl.find(n.Outputs[0]) == r {
		return false
	}
	if pl.ir.val(id).typ.Bytes() != pl.ir.val(n.Outputs[0]).typ.Bytes() || pl.ir.val(id).typ.Bytes() != pl.groupBytes(r) {
		return false
	}
	for j, other := range n.Inputs {
		if j != i && other != None && pl.find(other) == r {
			return false
		}
	}
	return true
}

func (pl *planner) groupBytes(r ValueID) int { return pl.ir.val(r).typ.Bytes() }

// allocate makes a buffer for every group in the arena and for every scratch.
func (pl *planner) allocate() {
	for i := range pl.ir.vals {
		id := ValueID(i)
		if pl.parent[i] != id || pl.bound[i] {
			continue
		}
		v := &pl.ir.vals[i]
		produced := v.def != nil && !v.def.dead
		if produced || v.input >= 0 {
			pl.block[i] = pl.addBuffer(v.typ.Bytes(), pl.first[i], pl.last[i])
		}
	}
	for s := range pl.steps {
		if k := &pl.steps[s].kernel; k.Scratch > 0 {
			pl.steps[s].scratch = pl.addBuffer(4*k.Scratch, s, s)
			pl.stats.ScratchBytes = max(pl.stats.ScratchBytes, 4*k.Scratch)
		}
	}
}

func (pl *planner) addBuffer(used, first, last int) int {
	size := used
	if pl.opt.Paranoid {
		size += guardBytes
	}
	size = (size + blockAlign - 1) / blockAlign * blockAlign
	pl.buffers = append(pl.buffers, buffer{size: size, used: used, first: first, last: last})
	return len(pl.buffers) - 1
}

// place chooses offsets, largest buffer first, each at the lowest offset where it meets no buffer that is in use at the
// same time, and returns the size of the arena. With apart set no memory is shared at all.
func place(buffers []buffer, apart bool) int {
	order := make([]*buffer, len(buffers))
	for i := range buffers {
		order[i] = &buffers[i]
	}
	slices.SortStableFunc(order, func(a, b *buffer) int { return b.size - a.size })
	total := 0
	var placed []*buffer // by offset
	for _, b := range order {
		off := 0
		for _, q := range placed {
			if !apart && !q.overlaps(b) {
				continue
			}
			if off+b.size <= q.off {
				break
			}
			off = max(off, q.off+q.size)
		}
		b.off = off
		total = max(total, off+b.size)
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int { return x.off - y.off })
		placed = slices.Insert(placed, at, b)
	}
	return total
}

// bindBlocks records for every value in use where it lies, and for every step which buffers it touches.
func (pl *planner) bindBlocks() {
	pl.blockOf = make([]int, len(pl.ir.vals))
	pl.rootOf = make([]ValueID, len(pl.ir.vals))
	for i := range pl.blockOf {
		r := pl.find(ValueID(i))
		pl.rootOf[i], pl.blockOf[i] = r, pl.block[r]
	}
	for s := range pl.steps {
		st := &pl.steps[s]
		for _, id := range st.node.Outputs {
			st.outputs = append(st.outputs, pl.blockOf[id])
		}
		for i, id := range st.node.Inputs {
			if id != None && pl.blockOf[id] >= 0 && (st.node.absorbed == nil || !st.node.absorbed[i]) {
				st.inputs = append(st.inputs, pl.blockOf[id])
			}
		}
	}
	pl.bindConstants()
}

// bindConstants prepares the constants that kernels read at run time, widened to their stored type.
func (pl *planner) bindConstants() {
	pl.consts = map[ValueID]tensor.Tensor{}
	wide := map[*byte]tensor.Tensor{}
	bind := func(id ValueID) {
		v := pl.ir.val(id)
		if _, done := pl.consts[id]; done || v.konst == nil {
			return
		}
		t := stored(*v.konst, v.typ)
		if b := pl.ir.constBytes(id); b != nil && t.DType != v.konst.DType {
			if w, ok := wide[b]; ok && len(w.Data) == len(t.Data) {
				t.Data = w.Data
			}
			wide[b] = t
		}
		pl.consts[id] = t
		pl.stats.ConstBytes += len(t.Data)
	}
	for s := range pl.steps {
		n := pl.steps[s].node
		for i, id := range n.Inputs {
			if id != None && (n.absorbed == nil || !n.absorbed[i]) {
				bind(pl.rootOf[id])
			}
		}
	}
	for _, o := range pl.ir.outputs {
		bind(pl.rootOf[o.value])
	}
}
