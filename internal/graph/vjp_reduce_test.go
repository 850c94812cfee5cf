package graph

import (
	"testing"

	"winnow/internal/tensor"
)

func TestVJPReduce(t *testing.T) {
	for _, r := range reductions {
		x := positive64(7, 2, 3, 5)
		if r.name == "ReduceL1" || r.name == "ReduceSum" || r.name == "ReduceMax" {
			x = normal64(8, 2, 3, 5)
		}
		noop := map[string]Attr{"noop_with_empty_axes": IntAttr(1)}
		checkRules(t,
			rule(r.name, axesAttr(1, 1), x).at(12), rule(r.name, axesAttr(0, -1, 0), x).at(12), rule(r.name, nil, x).at(12),
			rule(r.name, nil, x, i64s(-1)).at(18), rule(r.name, map[string]Attr{"keepdims": IntAttr(0)}, x, i64s(0, 2)).at(21),
			rule(r.name, noop, x).at(18), rule(r.name, nil, x).at(20),
		)
		if r.axesSince == 18 {
			checkRules(t, rule(r.name, axesAttr(0, 1), x).at(17))
		}
	}
}

func TestVJPSoftmax(t *testing.T) {
	for _, op := range []string{"Softmax", "LogSoftmax", "Hardmax"} {
		x := normal64(1, 2, 3, 5)
		checkRules(t, rule(op, nil, x), rule(op, axisAttr(1), x), rule(op, axisAttr(0), x).at(13), rule(op, nil, x).at(11),
			rule(op, axisAttr(2), x).at(11), rule(op, axisAttr(-3), x).at(12), rule(op, axisAttr(3), x).at(12))
	}
}

// TestVJPTopK covers values whose indices nobody asked for, and a cotangent beside them.
func TestVJPTopK(t *testing.T) {
	smallest := map[string]Attr{"axis": IntAttr(0), "largest": IntAttr(0)}
	checkRules(t, rule("TopK", nil, normal64(1, 2, 5), i64s(3)), rule("TopK", smallest, normal64(2, 5, 3), i64s(2)).results(2))
}

// TestVJPTiesSplitEvenly says what a maximum over equal numbers passes on; finite differences cannot.
func TestVJPTiesSplitEvenly(t *testing.T) {
	b := NewBuilder("ties")
	x := b.Input("x", tensor.F32, 5)
	b.Output("y", b.OpA("ReduceMax", map[string]Attr{"keepdims": IntAttr(0)}, x))
	in := map[string]tensor.Tensor{"x": tensor.FromF32([]float32{1, 4, 4, 0, 4}, 5)}
	cot := map[string]tensor.Tensor{"y": tensor.FromF32([]float32{6})}
	_, grads := runGradient(t, buildGraph(t, b), in, cot, []string{"x"}, Options{})
	compareTensors(t, "gradient", grads["x"], tensor.FromF32([]float32{0, 2, 2, 0, 2}, 5), 1e-6)
}
