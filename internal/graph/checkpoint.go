package graph

// keepBorders cuts the forward pass into blocks and keeps what crosses a cut, and within the last block what the reverse
// pass reads, which is needed again at once. Several block sizes are tried; the one that needs least memory is taken.
func (r *recomputation) keepBorders() {
	total := 0
	for id := range r.read {
		if r.read[id] {
			total += r.bytes(ValueID(id))
		}
	}
	var best *cutting
	for size := total; size > total/256; size = size * 3 / 4 {
		if c := r.cut(size); best == nil || c.cost < best.cost {
			best = c
		}
	}
	copy(r.keep, r.read)
	if best == nil || best.last == 0 {
		return
	}
	for id := range r.keep {
		if b := r.born[id]; b >= 0 && b < best.last {
			r.keep[id] = best.kept[id]
		}
	}
}

// cutting is one way to cut the forward pass.
type cutting struct {
	kept []bool // by value
	last int    // position where the last block begins
	cost int    // bytes: everything kept and the largest block
}

// cut makes blocks in which the values that the reverse pass reads take about size bytes. Within the second half of a
// block the position is chosen where least crosses that is not kept already.
func (r *recomputation) cut(size int) *cutting {
	c := &cutting{kept: make([]bool, len(r.keep))}
	borders, block, largest, start := 0, 0, 0, 0
	at, least := 0, -1
	for i := range r.forward {
		if i > start && block >= size/2 {
			if n := r.crossing(c, i); least < 0 || n <= least {
				at, least = i, n
			}
		}
		block += r.readBytes(c, i)
		if block < size || least < 0 {
			continue
		}
		borders += r.keepCrossing(c, at)
		largest = max(largest, r.blockBytes(c, start, at))
		start, c.last, least = at, at, -1
		block = r.blockBytes(c, start, i+1)
	}
	c.cost = borders + max(largest, r.blockBytes(c, start, len(r.forward)))
	return c
}

// readBytes is what the reverse pass reads of a node's results, kept values left out.
func (r *recomputation) readBytes(c *cutting, i int) int {
	n := 0
	for _, id := range r.forward[i].Outputs {
		if r.read[id] && !c.kept[id] {
			n += r.bytes(id)
		}
	}
	return n
}

func (r *recomputation) blockBytes(c *cutting, from, to int) int {
	n := 0
	for i := from; i < to; i++ {
		n += r.readBytes(c, i)
	}
	return n
}

// crosses reports whether a value is made before position at and read from there on.
func (r *recomputation) crosses(id, at int) bool {
	return r.born[id] >= 0 && r.born[id] < at && r.dies[id] >= at
}

// crossing is the memory that a cut before position at would keep in addition.
func (r *recomputation) crossing(c *cutting, at int) int {
	n := 0
	for id := range r.born {
		if r.crosses(id, at) && !c.kept[id] {
			n += r.bytes(ValueID(id))
		}
	}
	return n
}

// keepCrossing keeps what crosses a cut and returns the memory that it takes.
func (r *recomputation) keepCrossing(c *cutting, at int) int {
	n := r.crossing(c, at)
	for id := range r.born {
		if r.crosses(id, at) {
			c.kept[id] = true
		}
	}
	return n
}
