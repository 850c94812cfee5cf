package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

// CheckFinite looks for NaN and infinite weights, on all cores and without keeping the file in memory. The error, a
// *FileError, names the first such tensor in file order and the first such element. Infinities are accepted where
// they are no accident: in one-element tensors (bounds, fill values) and in attention masks, tensors that hold nothing else
// but 0, 1 and the most negative numbers.
func (m *Model) CheckFinite() error {
	var tasks []finiteTask
	for i, w := range m.weights {
		if !w.tensor.DType.IsFloat() && !w.tensor.DType.IsSmallFloat() {
			continue
		}
		for off := 0; off < len(w.tensor.Data); off += finiteChunk {
			tasks = append(tasks, finiteTask{i, off})
		}
	}
	first := m.firstNonFinite(tasks)
	if first < 0 {
		return nil
	}
	w := m.weights[tasks[first].weight]
	return nonFiniteError(m.File, w, tasks[first].off/w.tensor.DType.Size())
}

// finiteChunk is the bytes that a worker checks at a time: a multiple of every element size.
const finiteChunk = 8 << 20

type finiteTask struct{ weight, off int }

// firstNonFinite returns the index of the first task whose chunk holds an unacceptable number, or -1.
func (m *Model) firstNonFinite(tasks []finiteTask) int {
	var next, first atomic.Int64
	first.Store(math.MaxInt64)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(tasks)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(tasks)) && i < first.Load(); i = next.Add(1) - 1 {
				t := m.weights[tasks[i].weight].tensor
				off := tasks[i].off
				chunk := t.Data[off:min(off+finiteChunk, len(t.Data))]
				if !allFinite(chunk, t.DType) && !intended(*t) {
					for old := first.Load(); i < old && !first.CompareAndSwap(old, i); old = first.Load() {
					}
				}
				if len(chunk) > finiteChunk/16 { // do not let the check make a large model resident
					mmap.Release(chunk)
				}
			}
		})
	}
	wg.Wait()
	if v := first.Load(); v != math.MaxInt64 {
		return int(v)
	}
	return -1
}

// lanes describes, for each float type of 16 bits and more, how 8 bytes of it are tested at once: magnitude bits, and what carries an
// exponent of all ones into the sign bit.
var lanes = [...]struct{ mask, add uint64 }{
	tensor.F32:  {0x7fffffff7fffffff, 0x0080000000800000},
	tensor.F16:  {0x7fff7fff7fff7fff, 0x0400040004000400},
	tensor.BF16: {0x7fff7fff7fff7fff, 0x0080008000800080},
	tensor.F64:  {0x7fffffffffffffff, 0x0010000000000000},
}

// allFinite reports whether b, elements of dt, is free of NaN and infinity.
func allFinite(b []byte, dt tensor.DType) bool {
	if dt.IsSmallFloat() {
		return allSmallFinite(b, dt)
	}
	l := lanes[dt]
	var seen uint64
	for len(b) >= 32 {
		seen |= binary.LittleEndian.Uint64(b)&l.mask + l.add
		seen |= binary.LittleEndian.Uint64(b[8:])&l.mask + l.add
		seen |= binary.LittleEndian.Uint64(b[16:])&l.mask + l.add
		seen |= binary.LittleEndian.Uint64(b[24:])&l.mask + l.add
		b = b[32:]
	}
	var last [32]byte
	copy(last[:], b)
	for i := 0; i < 32; i += 8 {
		seen |= binary.LittleEndian.Uint64(last[i:])&l.mask + l.add
	}
	return seen&^l.mask == 0
}

// allSmallFinite is allFinite for floats of 8 and 4 bits.
func allSmallFinite(b []byte, dt tensor.DType) bool {
	var bad [256]bool
	for i := range bad {
		v := tensor.SmallToF64(dt, byte(i))
		bad[i] = math.IsNaN(v) || math.IsInf(v, 0)
	}
	for _, x := range b {
		if bad[x] {
			return false
		}
	}
	return true
}

// intended reports whether the infinities of t are there on purpose, see CheckFinite.
func intended(t tensor.Tensor) bool {
	if t.Elems() == 1 {
		return !math.IsNaN(at(t, 0))
	}
	for i := range t.Elems() {
		v := at(t, i)
		if mask := v == 0 || v == 1 || v <= -65504 || math.IsInf(v, 1); !mask {
			return false
		}
	}
	return true
}

// at returns element i of a floating-point tensor.
func at(t tensor.Tensor, i int) float64 {
	if t.DType.IsSmallFloat() {
		return tensor.SmallToF64(t.DType, t.Data[i])
	}
	switch t.DType {
	case tensor.F32:
		return float64(t.F32()[i])
	case tensor.F16:
		return float64(tensor.F16ToF32(t.F16()[i]))
	case tensor.BF16:
		return float64(tensor.BF16ToF32(t.F16()[i]))
	}
	return t.F64()[i]
}

// nonFiniteError describes the first bad element of w at or after from.
func nonFiniteError(file string, w weight, from int) error {
	for i := from; i < w.tensor.Elems(); i++ {
		if v := at(*w.tensor, i); math.IsNaN(v) || math.IsInf(v, 0) {
			what := fmt.Sprintf("element %d of %d (%v) is %v", i, w.tensor.Elems(), w.tensor, v)
			if w.external != "" {
				what += ", in external data " + quote(w.external)
			}
			return &FileError{
				File: file, Offset: -1, Where: w.name, What: what,
				Cure: "the weights are damaged or overflowed when they were converted: export them again, in float32 or bfloat16",
			}
		}
	}
	return nil
}
