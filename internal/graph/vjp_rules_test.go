package graph

import (
	"fmt"
	"testing"

	"winnow/internal/tensor"
)

// ruleCase is one node. Floating-point inputs (float64 here) are graph inputs whose gradient is checked; others are
// constants where the operator needs them at compile time, graph inputs otherwise. A tensor without data is absent.
type ruleCase struct {
	op    string
	opset int
	attrs map[string]Attr
	in    []tensor.Tensor
	outs  int // 0: 1
}

// rule makes a case for the default opset.
func rule(op string, attrs map[string]Attr, in ...tensor.Tensor) ruleCase {
	return ruleCase{op: op, opset: DefaultOpset, attrs: attrs, in: in}
}

func (r ruleCase) at(opset int) ruleCase {
	r.opset = opset
	return r
}

func (r ruleCase) results(n int) ruleCase {
	r.outs = n
	return r
}

// checkRules holds nodes against finite differences, in every form that checkVJP knows.
func checkRules(t *testing.T, cases ...ruleCase) {
	t.Helper()
	for i, r := range cases {
		t.Run(fmt.Sprintf("%d_%s_%d", i, r.op, r.opset), func(t *testing.T) { checkVJP(t, r.gradCase()) })
	}
}

func (r ruleCase) gradCase() gradCase {
	in := map[string]tensor.Tensor{}
	for i, x := range r.in {
		if !isShapeInput(r.op, i) && x.DType != tensor.Invalid {
			in[fmt.Sprintf("x%d", i)] = x
		}
	}
	return gradCase{name: r.op, opset: r.opset, in: in, build: func(b *Builder, dt tensor.DType) {
		ids := make([]ValueID, len(r.in))
		for i, x := range r.in {
			switch name := fmt.Sprintf("x%d", i); {
			case x.DType == tensor.Invalid:
				ids[i] = None
			case isShapeInput(r.op, i):
				ids[i] = b.Const(x)
			case x.DType == tensor.F64:
				ids[i] = b.Input(name, dt, x.Shape...)
			default:
				ids[i] = b.Input(name, x.DType, x.Shape...)
			}
		}
		for i, y := range b.OpN(r.op, r.attrs, max(1, r.outs), ids...) {
			b.Output(fmt.Sprintf("y%d", i), y)
		}
	}}
}

var absent tensor.Tensor

// positive64 draws numbers of at least a quarter.
func positive64(seed uint64, shape ...int) tensor.Tensor {
	x := normal64(seed, shape...)
	for i, v := range x.F64() {
		x.F64()[i] = max(v, -v) + 0.25
	}
	return x
}

// inside64 draws numbers between -r and r.
func inside64(seed uint64, r float64, shape ...int) tensor.Tensor {
	x := normal64(seed, shape...)
	for i, v := range x.F64() {
		x.F64()[i] = r * v / (1 + max(v, -v))
	}
	return x
}

func bools(v ...bool) tensor.Tensor {
	x := tensor.New(tensor.Bool, len(v))
	copy(x.Bools(), v)
	return x
}

// intsAs shapes integers.
func intsAs(shape []int, v ...int64) tensor.Tensor { return tensor.FromI64(v, shape...) }

func axisAttr(v int) map[string]Attr { return map[string]Attr{"axis": IntAttr(v)} }

func axesAttr(keep int, axes ...int) map[string]Attr {
	return map[string]Attr{"axes": IntsAttr(axes...), "keepdims": IntAttr(keep)}
}
