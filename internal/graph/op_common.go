package graph

import (
	"fmt"
	"math"
	"unsafe"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

// maxElems bounds the element count of any value: 2^34 float32 elements are 64 GiB, more than any network of the field
// needs. It keeps products of hostile dimensions inside int and stops allocations that could never succeed.
const maxElems = 1 << 34

// chunkElems is the number of elements one task of an elementwise loop handles: 64 KiB of float32, so that a task's
// operands stay in the second-level cache while the task is long enough to hide the hand-out cost.
const chunkElems = 16 << 10

// checkArity requires lo..hi inputs (present or absent) of which the first lo are present, and outLo..outHi outputs.
func checkArity(c *NodeCtx, lo, hi, outLo, outHi int) error {
	if n := len(c.In); n < lo || n > hi {
		return badNode(c, "has %d inputs, want %s", n, span(lo, hi))
	}
	for i := range lo {
		if !c.In[i].Present {
			return badInput(c, i, "is missing")
		}
	}
	if n := len(c.Node.Outputs); n < outLo || n > outHi {
		return badNode(c, "has %d outputs, want %s", n, span(outLo, outHi))
	}
	return nil
}

func span(lo, hi int) string {
	switch {
	case lo == hi:
		return fmt.Sprint(lo)
	case hi == math.MaxInt:
		return fmt.Sprintf("at least %d", lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}

// badNode is the error for a node that does not follow its operator's definition.
func badNode(c *NodeCtx, format string, args ...any) error { return c.ShapeErrorf(-1, format, args...) }

// badInput is badNode for a fault of one input.
func badInput(c *NodeCtx, i int, format string, args ...any) error {
	return c.ShapeErrorf(i, format, args...)
}

// class is a set of element types that an operator input accepts.
type class uint8

const (
	classFloat class = 1 << iota // F16, BF16, F32, F64
	classInt                     // signed and unsigned integers
	classBool
	classString
	classSmall  // floats of 8 and 4 bits, integers of 4 and 2
	classNumber = classFloat | classInt
	classFixed  = classNumber | classBool // everything that is computed with
	classStored = classFixed | classSmall // everything with a fixed element size
)

func classOf(dt tensor.DType) class {
	switch dt {
	case tensor.F16, tensor.BF16, tensor.F32, tensor.F64:
		return classFloat
	case tensor.I8, tensor.I16, tensor.I32, tensor.I64, tensor.U8, tensor.U16, tensor.U32, tensor.U64:
		return classInt
	case tensor.Bool:
		return classBool
	case tensor.String:
		return classString
	}
	if dt.IsSmall() {
		return classSmall
	}
	return 0
}

func (k class) String() string {
	switch k {
	case classFloat:
		return "a floating-point type"
	case classInt:
		return "an integer type"
	case classBool:
		return "bool"
	case classNumber:
		return "a numeric type"
	}
	return "a numeric or bool type"
}

// checkClass requires input i to be of one of the classes in k. String tensors are refused as unsupported rather than
// reported as a fault of the model.
func checkClass(c *NodeCtx, i int, k class) error {
	if !c.Has(i) {
		return nil
	}
	got := classOf(c.In[i].DType)
	if got == classString {
		return c.Refuse("", fmt.Sprintf("input %d holds strings", i))
	}
	if got == classSmall && got&k == 0 {
		return c.Refuse("", "input of type "+c.In[i].DType.String())
	}
	if got&k == 0 {
		return badInput(c, i, "has type %v, want %v", c.In[i].DType, k)
	}
	return nil
}

// checkSameType requires the inputs lo..hi-1 that are present to share the type of input lo.
func checkSameType(c *NodeCtx, lo, hi int) error {
	for i := lo + 1; i < hi && i < len(c.In); i++ {
		if c.In[i].Present && c.In[i].DType != c.In[lo].DType {
			return badInput(c, i, "has type %v, want %v as input %d", c.In[i].DType, c.In[lo].DType, lo)
		}
	}
	return nil
}

// checkRank requires input i to have lo..hi dimensions.
func checkRank(c *NodeCtx, i, lo, hi int) error {
	if r := len(c.In[i].Shape); r < lo || r > hi {
		return badInput(c, i, "has rank %d (shape %v), want %s", r, c.In[i].Shape, span(lo, hi))
	}
	return nil
}

// checkShape requires input i, when present, to have exactly the given shape.
func checkShape(c *NodeCtx, i int, want ...int) error {
	if !c.Has(i) || equalShape(c.In[i].Shape, want) {
		return nil
	}
	return badInput(c, i, "has shape %v, want %v", c.In[i].Shape, want)
}

func equalShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// normAxis maps axis in [-rank, rank) to [0, rank).
func normAxis(c *NodeCtx, axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, badNode(c, "axis %d is outside [-%d, %d)", axis, rank, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// normAxes maps every axis and refuses duplicates. The result is a membership table of length rank.
func normAxes(c *NodeCtx, axes []int64, rank int) ([]bool, error) {
	in := make([]bool, rank)
	for _, a := range axes {
		i, err := normAxis(c, a, rank)
		if err != nil {
			return nil, err
		}
		if in[i] {
			return nil, badNode(c, "axis %d is listed twice", a)
		}
		in[i] = true
	}
	return in, nil
}

// elemCount returns the product of shape, or false when a dimension is negative or the product exceeds maxElems.
func elemCount(shape []int) (int, bool) {
	n := 1
	zero := false
	for _, d := range shape {
		if d < 0 || d > maxElems {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		if n > maxElems/d {
			return 0, false
		}
		n *= d
	}
	if zero {
		return 0, true
	}
	return n, true
}

// numElems is elemCount for shapes that Infer has accepted.
func numElems(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// setOut checks the sizes of the result types and stores them, cut to the number of outputs that the node names.
func setOut(c *NodeCtx, types ...Type) error {
	if len(c.Node.Outputs) > len(types) {
		return badNode(c, "has %d outputs, want at most %d", len(c.Node.Outputs), len(types))
	}
	types = types[:len(c.Node.Outputs)]
	for _, t := range types {
		if _, ok := elemCount(t.Shape); !ok {
			return badNode(c, "result of shape %v is too large or has a negative dimension", t.Shape)
		}
	}
	c.Out = types
	return nil
}

// out1 sets the type of a node with a single result.
func out1(c *NodeCtx, dt tensor.DType, shape []int) error {
	return setOut(c, Type{DType: dt, Shape: shape})
}

// rowStrides returns the row-major strides of shape in elements.
func rowStrides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// typeAttr returns the element type that an attribute names, def when it is absent or 0.
func typeAttr(c *NodeCtx, name string, def tensor.DType) tensor.DType {
	v := c.AttrInt(name, 0)
	if v == 0 {
		return def
	}
	return tensor.FromONNX(int32(min(max(v, 0), math.MaxInt32)))
}

// splitAt returns the products of the dimensions before axis, at axis, and after it.
func splitAt(shape []int, axis int) (outer, n, inner int) {
	return numElems(shape[:axis]), shape[axis], numElems(shape[axis+1:])
}

// elem is an element type of tensor storage.
type elem interface {
	float32 | float64 | int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | bool
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}

type float interface{ float32 | float64 }

type number interface{ integer | float }

// view returns the elements of t without a check of its type: plans guarantee it.
func view[T any](t tensor.Tensor) []T {
	var zero T
	n := len(t.Data) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.Data))), n)
}

// chunks calls f for consecutive ranges that cover [0, n), in parallel when n is worth it.
func chunks(p *kernel.Pool, n int, f func(lo, hi int)) { chunksOf(p, n, chunkElems, f) }

// chunksOf is chunks with a given range length; size is a multiple of the vector width except in the last range.
func chunksOf(p *kernel.Pool, n, size int, f func(lo, hi int)) {
	if n <= size {
		if n > 0 {
			f(0, n)
		}
		return
	}
	p.Run((n+size-1)/size, func(_, i int) {
		f(i*size, min(n, (i+1)*size))
	})
}

// rowTasks calls f for ranges of rows that cover [0, rows); rowCost is the number of elements that one row touches.
func rowTasks(p *kernel.Pool, rows, rowCost int, f func(lo, hi int)) {
	chunksOf(p, rows, max(1, chunkElems/max(1, rowCost)), f)
}

// run wraps a loop that cannot fail as a Kernel.
func run(f func(f *Frame)) Kernel {
	return Kernel{Run: func(fr *Frame) error { f(fr); return nil }}
}

// copyBytes copies src to dst over the pool.
func copyBytes(p *kernel.Pool, dst, src []byte) {
	if len(dst) == 0 || len(src) == 0 || &dst[0] == &src[0] {
		return
	}
	chunksOf(p, len(dst), 4*chunkElems, func(lo, hi int) { copy(dst[lo:hi], src[lo:hi]) })
}
