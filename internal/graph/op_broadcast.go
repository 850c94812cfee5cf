package graph

import "winnow/internal/kernel"

// broadcastShape returns the common shape of the operands under ONNX (numpy) broadcasting, or false.
func broadcastShape(shapes ...[]int) ([]int, bool) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make([]int, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		at := rank - len(s)
		for i, d := range s {
			switch {
			case out[at+i] == 1:
				out[at+i] = d
			case d != 1 && d != out[at+i]:
				return nil, false
			}
		}
	}
	return out, true
}

// inferBroadcast returns the common shape of inputs lo..hi-1 or an error that names the first that does not fit.
func inferBroadcast(c *NodeCtx, lo, hi int) ([]int, error) {
	shape := c.In[lo].Shape
	for i := lo + 1; i < hi; i++ {
		next, ok := broadcastShape(shape, c.In[i].Shape)
		if !ok {
			return nil, badInput(c, i, "of shape %v does not broadcast with %v", c.In[i].Shape, shape)
		}
		shape = next
	}
	return append([]int{}, shape...), nil
}

// bcast walks the output of an elementwise operator row by row. Adjacent dimensions with the same pattern of broadcast
// and dense operands are merged, so that the common cases are few long rows:
// equal shapes and scalars one row, [..., C] with [C] rows of C, [N, C, H, W] with [C, 1, 1] rows of H·W.
type bcast struct {
	n     int     // row length
	step  []int   // per operand: 1 when it has n elements per row, 0 when one value serves the whole row
	outer []int   // merged outer dimensions
	str   [][]int // per operand: strides over outer
	total int
}

// newBcast plans a walk over out for operands of the given shapes, which must broadcast to out.
func newBcast(out []int, shapes ...[]int) *bcast {
	dims, dense := mergeDims(out, shapes)
	b := &bcast{n: 1, step: make([]int, len(shapes)), str: make([][]int, len(shapes)), total: numElems(out)}
	if len(dims) > 0 {
		b.n = dims[len(dims)-1]
		b.outer = dims[:len(dims)-1]
	}
	for k := range shapes {
		str := make([]int, len(dims))
		run := 1
		for i := len(dims) - 1; i >= 0; i-- {
			if dense[i][k] {
				str[i] = run
				run *= dims[i]
			}
		}
		if len(dims) > 0 {
			b.step[k] = str[len(dims)-1]
			str = str[:len(dims)-1]
		}
		b.str[k] = str
	}
	return b
}

// mergeDims drops dimensions of size 1 and joins neighbours in which the same operands are dense.
func mergeDims(out []int, shapes [][]int) (dims []int, dense [][]bool) {
	for i, d := range out {
		if d == 1 {
			continue
		}
		pat := make([]bool, len(shapes))
		for k, s := range shapes {
			j := i - (len(out) - len(s))
			pat[k] = j >= 0 && s[j] != 1
		}
		if n := len(dims); n > 0 && samePattern(dense[n-1], pat) {
			dims[n-1] *= d
			continue
		}
		dims, dense = append(dims, d), append(dense, pat)
	}
	return dims, dense
}

func samePattern(a, b []bool) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// rows calls f for every run of the output range [lo, hi) that lies in one row: at is its start in the output, n its
// length, off[k] the start of operand k (its single value when step[k] is 0). off is reused between calls.
func (b *bcast) rows(lo, hi int, f func(at, n int, off []int)) {
	if lo >= hi {
		return
	}
	idx := make([]int, len(b.outer))
	base := make([]int, len(b.step))
	off := make([]int, len(b.step))
	b.seek(lo/b.n, idx, base)
	for col := lo % b.n; lo < hi; col = 0 {
		n := min(b.n-col, hi-lo)
		for k := range off {
			off[k] = base[k] + col*b.step[k]
		}
		f(lo, n, off)
		lo += n
		b.next(idx, base)
	}
}

// seek sets idx and base for the given row.
func (b *bcast) seek(row int, idx, base []int) {
	for i := len(b.outer) - 1; i >= 0; i-- {
		idx[i] = row % b.outer[i]
		row /= b.outer[i]
		for k := range base {
			base[k] += idx[i] * b.str[k][i]
		}
	}
}

// next moves idx and base to the following row.
func (b *bcast) next(idx, base []int) {
	for i := len(b.outer) - 1; i >= 0; i-- {
		idx[i]++
		for k := range base {
			base[k] += b.str[k][i]
		}
		if idx[i] < b.outer[i] {
			return
		}
		for k := range base {
			base[k] -= b.str[k][i] * b.outer[i]
		}
		idx[i] = 0
	}
}

// each runs f over all rows, in parallel when the output is large.
func (b *bcast) each(p *kernel.Pool, f func(at, n int, off []int)) {
	chunks(p, b.total, func(lo, hi int) { b.rows(lo, hi, f) })
}
