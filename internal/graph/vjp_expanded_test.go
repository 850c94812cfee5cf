package graph

import (
	"testing"

	"winnow/internal/tensor"
)

// TestVJPExpanded: operators that are expanded get their gradients from what they are expanded into.
func TestVJPExpanded(t *testing.T) {
	x := normal64(1, 3, 4, 5)
	targets := intsAs([]int{3, 5}, 0, 1, 2, 3, 0, 3, 2, 1, 0, 3, 1, 1, 2, 2, 3)
	loss := func(reduction string) map[string]Attr {
		return map[string]Attr{"reduction": StringAttr(reduction), "ignore_index": IntAttr(2)}
	}
	window := map[string]Attr{"kernel_shape": IntsAttr(2), "strides": IntsAttr(2), "pads": IntsAttr(1, 0)}
	checkRules(t,
		rule("NegativeLogLikelihoodLoss", nil, x, targets), rule("NegativeLogLikelihoodLoss", loss("sum"), x, targets, positive64(2, 4)),
		rule("SoftmaxCrossEntropyLoss", loss("mean"), x, targets, positive64(2, 4)).results(2),
		rule("SoftmaxCrossEntropyLoss", loss("none"), x, targets),
		rule("LRN", map[string]Attr{"size": IntAttr(3), "alpha": FloatAttr(0.5)}, x),
		rule("LpPool", window, positive64(3, 2, 3, 5)), rule("LpPool", withAttr(window, "p", IntAttr(3)), positive64(3, 2, 3, 5)),
		rule("AffineGrid", nil, normal64(4, 2, 2, 3), tensor.FromI64([]int64{2, 1, 3, 4}, 4)).at(20),
		rule("Col2Im", nil, normal64(5, 1, 8, 6), tensor.FromI64([]int64{3, 4}, 2), tensor.FromI64([]int64{2, 2}, 2)).at(18),
		rule("CenterCropPad", nil, x, tensor.FromI64([]int64{2, 5, 5}, 3)).at(18),
		rule("SwiGLU", nil, x, normal64(6, 3, 4, 5)).at(28),
		rule("Add", map[string]Attr{"broadcast": IntAttr(1), "axis": IntAttr(1)}, x, normal64(7, 4)).at(6),
		rule("PRelu", nil, x, normal64(8, 4)).at(6),
	)
}
