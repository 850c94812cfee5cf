package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// axisMap selects, per dimension, which input coordinate each output coordinate shows; -1 shows a constant. Pad and
// nearest-neighbour Resize are such maps.
type axisMap struct {
	in, out []int
	src     [][]int
}

func newAxisMap(in, out []int) *axisMap {
	m := &axisMap{in: in, out: out, src: make([][]int, len(in))}
	for d := range in {
		m.src[d] = make([]int, out[d])
	}
	return m
}

// kernel moves elements of input 0's type. fill is the constant's bytes, unless input valueInput is present and gives it.
func (m *axisMap) kernel(c *NodeCtx, fill []byte, valueInput int) Kernel {
	if valueInput >= 0 && !c.Has(valueInput) {
		valueInput = -1
	}
	return bySize(c.In[0].DType, mapAxes[uint8], mapAxes[uint16], mapAxes[uint32], mapAxes[uint64])(m, fill, valueInput)
}

func mapAxes[T elem](m *axisMap, fill []byte, valueInput int) Kernel {
	runs := m.lastRuns()
	return run(func(f *Frame) {
		value := view[T](tensor.Tensor{Data: fill})
		if valueInput >= 0 {
			value = view[T](f.In[valueInput])
		}
		copyMapped(f.Pool, m, runs, view[T](f.Out[0]), view[T](f.In[0]), value[0])
	})
}

// mapRun is a run of output columns that show neighbouring input columns (from ≥ 0) or the constant (from -1).
type mapRun struct{ at, n, from int }

// lastRuns splits the last dimension into runs; nil when runs are so short that a gather is faster.
func (m *axisMap) lastRuns() []mapRun {
	if len(m.src) == 0 {
		return nil
	}
	cols := m.src[len(m.src)-1]
	runs := []mapRun{}
	for i := 0; i < len(cols); {
		n := 1
		for i+n < len(cols) && (cols[i] < 0 && cols[i+n] < 0 || cols[i] >= 0 && cols[i+n] == cols[i]+n) {
			n++
		}
		runs = append(runs, mapRun{i, n, cols[i]})
		i += n
	}
	if len(runs) > 4 && len(cols) < 4*len(runs) {
		return nil
	}
	return runs
}

// copyMapped fills dst row by row. A row that shows the same input row as the one before is copied from there.
func copyMapped[T elem](p *kernel.Pool, m *axisMap, runs []mapRun, dst, src []T, value T) {
	if len(dst) == 0 {
		return
	}
	if len(m.out) == 0 {
		copy(dst, src)
		return
	}
	n := m.out[len(m.out)-1]
	cols := m.src[len(m.src)-1]
	str := rowStrides(m.in)
	rowTasks(p, len(dst)/n, n, func(lo, hi int) {
		last := -2
		for r := lo; r < hi; r++ {
			base := m.rowBase(r, str)
			row := dst[r*n:][:n]
			if base == last {
				copy(row, dst[(r-1)*n:])
				continue
			}
			last = base
			switch {
			case base < 0:
				fillWith(row, value)
			case runs == nil:
				gatherRow(row, src[base:], cols, value)
			default:
				copyRuns(row, src[base:], runs, value)
			}
		}
	})
}

// rowBase is the input offset of output row r, -1 when the row shows the constant.
func (m *axisMap) rowBase(r int, str []int) int {
	base := 0
	for d := len(m.out) - 2; d >= 0; d-- {
		s := m.src[d][r%m.out[d]]
		r /= m.out[d]
		if s < 0 {
			return -1
		}
		base += s * str[d]
	}
	return base
}

func fillWith[T elem](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

func gatherRow[T elem](dst, src []T, cols []int, value T) {
	for i, s := range cols {
		if s < 0 {
			dst[i] = value
		} else {
			dst[i] = src[s]
		}
	}
}

func copyRuns[T elem](dst, src []T, runs []mapRun, value T) {
	for _, r := range runs {
		if r.from < 0 {
			fillWith(dst[r.at:r.at+r.n], value)
		} else {
			copy(dst[r.at:r.at+r.n], src[r.from:])
		}
	}
}
