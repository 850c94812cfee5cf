package graph

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"winnow/internal/tensor"
)

// Strings are constants and inputs of a program, and outputs that are one of them. No operator makes any: the arena has no
// room for values of unknown size.

// hasStrings reports whether the first operand holds strings.
func hasStrings(c *NodeCtx) bool { return len(c.In) > 0 && c.In[0].DType == tensor.String }

func inferEqualStrings(c *NodeCtx) error {
	if err := checkArity(c, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 2); err != nil {
		return err
	}
	shape, err := inferBroadcast(c, 0, 2)
	if err != nil {
		return err
	}
	return out1(c, tensor.Bool, shape)
}

func equalStrings(c *NodeCtx) Kernel {
	b := newBcast(c.Out[0].Shape, c.In[0].Shape, c.In[1].Shape)
	return run(func(f *Frame) {
		dst, x, y := view[bool](f.Out[0]), f.In[0].Strings(), f.In[1].Strings()
		b.rows(0, b.total, func(at, n int, off []int) {
			for k := range n {
				dst[at+k] = x[off[0]+k*b.step[0]] == y[off[1]+k*b.step[1]]
			}
		})
	})
}

// inferCastStrings allows casts from strings to numbers.
func inferCastStrings(c *NodeCtx, to tensor.DType) error {
	if classOf(to)&(classNumber|classSmall) == 0 {
		return c.Refuse("", fmt.Sprintf("a cast from string to %v", to))
	}
	return out1(c, to, c.In[0].Shape)
}

// castStrings reads numbers as ONNX writes them: "3.14", "1e-5", "-INF", "NaN". Integers drop what is behind the point.
func castStrings(c *NodeCtx, to tensor.DType) (Kernel, error) {
	switch {
	case to == tensor.U64:
		return parsed(func(s string) (uint64, error) { return parseInteger(s, strconv.ParseUint, toUint64[float64]) }, castFrom[uint64](to)), nil
	case to.IsInt():
		return parsed(func(s string) (int64, error) { return parseInteger(s, strconv.ParseInt, toInt[float64, int64]) }, castFrom[int64](to)), nil
	}
	bits := 64
	if to == tensor.F32 { // rounded once
		bits = 32
	}
	k, err := castSmall(c, tensor.F64, to)
	return parsed(func(s string) (float64, error) { return parseFloat(s, bits) }, k), err
}

// parseFloat reads a number; beyond the largest it is infinite.
func parseFloat(s string, bits int) (float64, error) {
	v, err := strconv.ParseFloat(s, bits)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	return v, err
}

func parseInteger[T any](s string, parse func(s string, base, bits int) (T, error), truncate func(float64) T) (T, error) {
	if v, err := parse(s, 10, 64); err == nil {
		return v, nil
	}
	v, err := parseFloat(s, 64)
	return truncate(v), err
}

// parsed reads input 0 with parse and hands the numbers to k, a cast from T.
func parsed[T float64 | int64 | uint64](parse func(s string) (T, error), k Kernel) Kernel {
	return Kernel{Run: func(f *Frame) error {
		texts := f.In[0].Strings()
		wide := *f
		wide.In = []tensor.Tensor{tensor.New(numberType[T](), f.In[0].Shape...)}
		v := view[T](wide.In[0])
		for i, s := range texts {
			var err error
			if v[i], err = parse(strings.TrimSpace(s)); err != nil {
				return fmt.Errorf("element %d, %s, is no number", i, strconv.Quote(s[:min(len(s), math.MaxUint8)]))
			}
		}
		return k.Run(&wide)
	}}
}

// numberType is the element type of T.
func numberType[T float64 | int64 | uint64]() tensor.DType {
	var zero T
	switch any(zero).(type) {
	case int64:
		return tensor.I64
	case uint64:
		return tensor.U64
	}
	return tensor.F64
}
