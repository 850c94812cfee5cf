package graph

import (
	"math"

	"winnow/internal/tensor"
)

// compareOp names a comparison.
type compareOp uint8

const (
	cmpEqual compareOp = iota
	cmpLess
	cmpLessOrEqual
	cmpGreater
	cmpGreaterOrEqual
)

func init() {
	for _, r := range []struct {
		name  string
		since int
		types class
		op    compareOp
	}{
		{"Equal", 7, classFixed, cmpEqual},
		{"Less", 7, classNumber, cmpLess},
		{"LessOrEqual", 12, classNumber, cmpLessOrEqual},
		{"Greater", 7, classNumber, cmpGreater},
		{"GreaterOrEqual", 12, classNumber, cmpGreaterOrEqual},
	} {
		Register(Operator{
			Name: r.name, Since: r.since,
			Infer: func(c *NodeCtx) error {
				if r.op == cmpEqual && hasStrings(c) {
					return inferEqualStrings(c)
				}
				return inferBinary(c, r.types, tensor.Bool)
			},
			Compile: func(c *NodeCtx) (Kernel, error) {
				if hasStrings(c) {
					return equalStrings(c), nil
				}
				return compareKernel(c, r.op), nil
			},
		})
	}
	for name, fn := range map[string]func(a, b bool) bool{
		"And": func(a, b bool) bool { return a && b },
		"Or":  func(a, b bool) bool { return a || b },
		"Xor": func(a, b bool) bool { return a != b },
	} {
		Register(Operator{
			Name: name, Since: 7, InPlace: []int{0, 1},
			Infer:   func(c *NodeCtx) error { return inferBinary(c, classBool, tensor.Bool) },
			Compile: func(c *NodeCtx) (Kernel, error) { return binaryKernel(c, fn), nil },
		})
	}
	Register(Operator{
		Name: "Not", Since: 1, InPlace: []int{0},
		Infer:   func(c *NodeCtx) error { return inferUnary(c, classBool) },
		Compile: func(*NodeCtx) (Kernel, error) { return mapKernel(func(x bool) bool { return !x }), nil },
	})
	Register(Operator{Name: "IsNaN", Since: 9, Infer: inferFloatTest, Compile: compileIsNaN})
	Register(Operator{Name: "IsInf", Since: 10, Infer: inferFloatTest, Compile: compileIsInf})
}

func compareKernel(c *NodeCtx, op compareOp) Kernel {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return binaryKernel(c, compareFunc[float32](op))
	case tensor.F64:
		return binaryKernel(c, compareFunc[float64](op))
	case tensor.I8:
		return binaryKernel(c, compareFunc[int8](op))
	case tensor.I16:
		return binaryKernel(c, compareFunc[int16](op))
	case tensor.I32:
		return binaryKernel(c, compareFunc[int32](op))
	case tensor.I64:
		return binaryKernel(c, compareFunc[int64](op))
	case tensor.U16:
		return binaryKernel(c, compareFunc[uint16](op))
	case tensor.U32:
		return binaryKernel(c, compareFunc[uint32](op))
	case tensor.U64:
		return binaryKernel(c, compareFunc[uint64](op))
	}
	return binaryKernel(c, compareFunc[uint8](op)) // U8, and Bool as its byte
}

func compareFunc[T number](op compareOp) func(a, b T) bool {
	switch op {
	case cmpEqual:
		return func(a, b T) bool { return a == b }
	case cmpLess:
		return func(a, b T) bool { return a < b }
	case cmpLessOrEqual:
		return func(a, b T) bool { return a <= b }
	case cmpGreater:
		return func(a, b T) bool { return a > b }
	}
	return func(a, b T) bool { return a >= b }
}

// inferFloatTest is inferUnary with a bool result.
func inferFloatTest(c *NodeCtx) error {
	if err := inferUnary(c, classFloat); err != nil {
		return err
	}
	return out1(c, tensor.Bool, c.In[0].Shape)
}

func compileIsNaN(c *NodeCtx) (Kernel, error) {
	if c.In[0].DType == tensor.F64 {
		return mapKernel(func(x float64) bool { return x != x }), nil
	}
	return mapKernel(func(x float32) bool { return x != x }), nil
}

func compileIsInf(c *NodeCtx) (Kernel, error) {
	neg, pos := c.AttrInt("detect_negative", 1) != 0, c.AttrInt("detect_positive", 1) != 0
	test := func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) }
	if c.In[0].DType == tensor.F64 {
		return mapKernel(test), nil
	}
	return mapKernel(func(x float32) bool { return test(float64(x)) }), nil
}
