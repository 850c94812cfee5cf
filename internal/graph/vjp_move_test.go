package graph

import (
	"errors"
	"math"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

func TestVJPViews(t *testing.T) {
	x := normal64(1, 2, 3, 5)
	checkRules(t,
		rule("Reshape", nil, x, i64s(5, -1)), rule("Flatten", axisAttr(2), x), rule("Unsqueeze", nil, x, i64s(1)),
		rule("Unsqueeze", map[string]Attr{"axes": IntsAttr(0)}, x).at(11), rule("Squeeze", nil, normal64(2, 2, 1, 3, 1)),
		rule("Squeeze", nil, normal64(2, 2, 1, 3), i64s(1)), rule("Transpose", nil, x),
		rule("Transpose", map[string]Attr{"perm": IntsAttr(1, 2, 0)}, x), rule("Expand", nil, normal64(3, 3, 1), i64s(2, 3, 5)),
		rule("Expand", nil, normal64(3, 2, 3), i64s(1)), rule("Expand", nil, normal64(3), i64s(2, 2)),
		rule("Tile", nil, x, i64s(2, 1, 3)), rule("Tile", nil, normal64(4, 3), i64s(1)),
		rule("Trilu", nil, normal64(5, 2, 4, 5), i64s(-1)), rule("Trilu", map[string]Attr{"upper": IntAttr(0)}, normal64(5, 4, 5)),
	)
	for _, mode := range []string{"DCR", "CRD"} {
		attrs := map[string]Attr{"blocksize": IntAttr(2), "mode": StringAttr(mode)}
		checkRules(t, rule("DepthToSpace", attrs, normal64(6, 2, 12, 2, 3)), rule("SpaceToDepth", attrs, normal64(7, 2, 3, 4, 6)))
	}
}

func TestVJPConcatSplit(t *testing.T) {
	x := normal64(1, 2, 7, 3)
	checkRules(t,
		rule("Concat", axisAttr(-2), normal64(2, 2, 1, 3), x, normal64(3, 2, 4, 3)), rule("Concat", axisAttr(0), x), rule("Concat", axisAttr(1), x, x).at(9),
		rule("Concat", axisAttr(1), normal64(2, 2, 0, 3), x),
		rule("Split", map[string]Attr{"axis": IntAttr(1), "split": IntsAttr(2, 4, 1)}, x).at(11).results(3),
		rule("Split", axisAttr(1), x, i64s(2, 0, 5)).at(14).results(3),
		rule("Split", map[string]Attr{"axis": IntAttr(1), "num_outputs": IntAttr(2)}, x).at(18).results(2),
	)
}

// TestVJPSplitPartly has parts that nothing depends on.
func TestVJPSplitPartly(t *testing.T) {
	checkVJP(t, gradCase{
		name: "split",
		build: func(b *Builder, dt tensor.DType) {
			parts := b.OpN("Split", axisAttr(0), 3, b.Input("x", dt, 7, 2), b.Const(i64s(2, 4, 1)))
			b.Output("y", b.Op("Exp", parts[1]))
		},
		in: map[string]tensor.Tensor{"x": normal64(1, 7, 2)},
	})
}

func TestVJPSlicePad(t *testing.T) {
	x, end := normal64(1, 4, 7, 3), int64(math.MaxInt64)
	checkRules(t,
		rule("Slice", map[string]Attr{"starts": IntsAttr(1, 0), "ends": IntsAttr(3, 2), "axes": IntsAttr(0, 2)}, x).at(10-1),
		rule("Slice", nil, x, i64s(1), i64s(-1)).at(10), rule("Slice", nil, x, i64s(1, 0), i64s(end, 2), i64s(1, -1)),
		rule("Slice", nil, x, i64s(0, 1), i64s(end, end), i64s(0, 1), i64s(3, 2)),
		rule("Slice", nil, x, i64s(-1), i64s(math.MinInt64), i64s(1), i64s(-1)),
		rule("Slice", nil, x, i64s(5, -1), i64s(0, -99), i64s(1, 2), i64s(-2, -3)), rule("Slice", nil, x, i64s(2), i64s(2), i64s(0)),
		rule("Pad", map[string]Attr{"pads": IntsAttr(0, 1, 2, 1, 0, 3), "value": FloatAttr(2)}, x).at(9),
		rule("Pad", nil, x, i64s(0, 1, 2, 1, 0, 3)).at(11), rule("Pad", nil, x, i64s(1, -2, 0, 0, 3, -1), f64(1.5)),
		rule("Pad", nil, x, i64s(2, -1), f64(0.5), i64s(-2)).at(18),
	)
	for _, mode := range []string{"reflect", "edge", "wrap"} {
		attrs := map[string]Attr{"mode": StringAttr(mode)}
		checkRules(t, rule("Pad", attrs, x, i64s(0, 3, 2, 1, 5, 0)).at(19), rule("Pad", attrs, x, i64s(3, 0, 0, 0, 0, 0)).at(19),
			rule("Pad", attrs, x, i64s(1, -2, 0, -1, 3, 2)).at(19), rule("Pad", attrs, x, i64s(2, 9), absent, i64s(1)).at(19))
	}
}

func TestVJPGather(t *testing.T) {
	x := normal64(1, 4, 5, 3)
	many := intsAs([]int{2, 3}, 0, 2, -1, 2, 2, 1)
	checkRules(t,
		rule("Gather", axisAttr(0), x, many), rule("Gather", axisAttr(1), x, many), rule("Gather", axisAttr(-1), x, many),
		rule("Gather", axisAttr(1), x, many).at(14), rule("Gather", axisAttr(2), x, many).at(13), rule("Gather", axisAttr(1), x, intsAs(nil, -2)),
		rule("GatherElements", axisAttr(1), x, intsAs([]int{2, 2, 2}, 0, 1, -1, 1, 2, 2, 2, 0)).at(18),
		rule("GatherND", nil, x, intsAs([]int{3, 2}, 0, 4, 0, -1, 3, 2)), rule("GatherND", nil, x, intsAs([]int{2, 1, 1}, 1, 1)),
		rule("GatherND", map[string]Attr{"batch_dims": IntAttr(1)}, x, intsAs([]int{4, 2, 2}, 0, 0, 1, 1, 4, 2, 4, 2, 0, 1, 1, 0, -1, -1, 2, 2)),
		rule("GatherND", map[string]Attr{"batch_dims": IntAttr(2)}, normal64(2, 2, 2, 3, 2), intsAs([]int{2, 2, 1}, 0, 1, 2, 2)),
		rule("Compress", axisAttr(1), x, bools(false, true, true, false)), rule("Compress", nil, x, bools(true, false, false, true, true)),
		rule("Compress", axisAttr(1), x, bools(true, false, true)), rule("OneHot", axisAttr(0), i64s(1, 0, -1, 7), i64s(3), normal64(3, 2)),
		rule("ReverseSequence", nil, normal64(4, 4, 3, 2), i64s(1, 4, 2)),
		rule("ReverseSequence", map[string]Attr{"batch_axis": IntAttr(0), "time_axis": IntAttr(1)}, normal64(5, 2, 4), i64s(3, 2)),
	)
}

// TestVJPGatherConstant has indices that are known when the graph is compiled: one run, a permutation with gaps, repeats.
func TestVJPGatherConstant(t *testing.T) {
	for _, idx := range []tensor.Tensor{i64s(1, 2, 3), i64s(4, 0, 2), i64s(1, 1, 0), intsAs(nil, 3), intsAs([]int{2, 1}, -1, 0)} {
		for _, opset := range []int{13, 17} {
			checkVJP(t, gradCase{
				name: "gather", opset: opset,
				build: func(b *Builder, dt tensor.DType) {
					b.Output("y", b.OpA("Gather", axisAttr(1), b.Input("x", dt, 2, 5, 3), b.Const(idx)))
				},
				in: map[string]tensor.Tensor{"x": normal64(1, 2, 5, 3)},
			})
		}
	}
}

func TestVJPScatter(t *testing.T) {
	x, idx := normal64(1, 4, 5), intsAs([]int{3, 2}, 0, 3, -1, 1, 2, 4)
	reduction := func(name string) map[string]Attr {
		return map[string]Attr{"axis": IntAttr(1), "reduction": StringAttr(name)}
	}
	again := intsAs([]int{4, 3}, 0, 0, 1, 2, 2, 2, 4, 3, 4, -1, -1, 4)
	checkRules(t, rule("ScatterElements", axisAttr(1), x, idx, normal64(2, 3, 2)).at(13),
		rule("ScatterND", nil, x, intsAs([]int{2, 1}, 3, 0), normal64(3, 2, 5)).at(13),
		rule("ScatterND", reduction("add"), x, intsAs([]int{3, 1}, 3, 0, 3), normal64(3, 3, 5)).at(16),
		rule("ScatterND", reduction("max"), x, intsAs([]int{3, 1}, 3, 0, 3), normal64(4, 3, 5)).at(18))
	for _, name := range []string{"add", "mul"} {
		checkRules(t, rule("ScatterElements", reduction(name), x, again, normal64(2, 4, 3)).at(16))
	}
	for _, name := range []string{"min", "max"} {
		checkRules(t, rule("ScatterElements", reduction(name), x, again, normal64(2, 4, 3)).at(18))
	}
}

// TestVJPGatherElementsNeedsOpset16: before, no operator adds where indices repeat.
func TestVJPGatherElementsNeedsOpset16(t *testing.T) {
	c := rule("GatherElements", nil, normal64(1, 3, 2), intsAs([]int{1, 2}, 0, 1)).at(14).gradCase()
	_, err := CompileGradient(c.graph(t, tensor.F64), typesOf(c.in), GradientSpec{Wrt: []string{"x0"}}, nil)
	var u *UnsupportedError
	if !errors.As(err, &u) || !strings.Contains(u.Error(), "opset 16") {
		t.Errorf("got %v, want an *UnsupportedError that names opset 16", err)
	}
}
