package graph

import (
	"testing"

	"winnow/internal/tensor"
)

// loweredCase is one node of ONNX Runtime's domain over inputs of the given shapes.
type loweredCase struct {
	op     string
	attrs  map[string]Attr
	shapes [][]int // nil: the input is absent
	outs   int
}

// TestLoweredOperatorsHaveGradients: the gradient of an expansion is that of its standard operators; finite differences say
// so for each expansion, and the exported gradient holds no operator that only ONNX Runtime knows.
func TestLoweredOperatorsHaveGradients(t *testing.T) {
	groups := map[string]Attr{"groups": IntAttr(2), "activation": IntAttr(1)}
	for _, c := range []loweredCase{
		{"GroupNorm", groups, [][]int{{2, 3, 2, 4}, {4}, {4}}, 1},
		{"SkipGroupNorm", groups, [][]int{{2, 3, 2, 4}, {4}, {4}, {2, 4}, {4}}, 2},
		{"BiasSplitGelu", nil, [][]int{{2, 3, 8}, {8}}, 1},
		{"BiasAdd", nil, [][]int{{2, 3, 4}, {4}, {2, 3, 4}}, 1},
		{"BiasGelu", nil, [][]int{{2, 3, 4}, {4}}, 1},
		{"FastGelu", nil, [][]int{{2, 3, 4}, {4}}, 1},
		{"QuickGelu", nil, [][]int{{2, 3, 4}}, 1},
		{"SkipLayerNormalization", map[string]Attr{"epsilon": FloatAttr(1e-3)}, [][]int{{2, 3, 4}, {3, 4}, {4}, {4}, {4}}, 1},
		{"SkipSimplifiedLayerNormalization", map[string]Attr{"epsilon": FloatAttr(1e-3)}, [][]int{{2, 3, 4}, {2, 3, 4}, {4}, {4}}, 1},
		{"FusedMatMul", map[string]Attr{"transA": IntAttr(1), "transBatchB": IntAttr(1), "alpha": FloatAttr(0.5)}, [][]int{{2, 4, 3}, {4, 2, 5}}, 1},
		{"FusedGemm", map[string]Attr{"activation": StringAttr("Sigmoid"), "alpha": FloatAttr(0.5)}, [][]int{{3, 4}, {4, 5}, {5}}, 1},
		{"NhwcConv", map[string]Attr{"pads": IntsAttr(1, 1, 1, 1)}, [][]int{{2, 4, 3, 2}, {4, 3, 3, 2}, {4}}, 1},
	} {
		t.Run(c.op, func(t *testing.T) { checkVJP(t, c.gradient()) })
	}
}

// gradient differentiates the node with respect to every input.
func (c loweredCase) gradient() gradCase {
	in := map[string]tensor.Tensor{}
	for i, shape := range c.shapes {
		name := string(rune('a' + i))
		in[name] = randomLike(tensor.New(tensor.F64, shape...), uint64(i))
	}
	return gradCase{name: c.op, in: in, build: func(b *Builder, dt tensor.DType) {
		b.Opset(MicrosoftDomain, 1)
		var ids []ValueID
		for i, shape := range c.shapes {
			ids = append(ids, b.Input(string(rune('a'+i)), dt, shape...))
		}
		for i, id := range b.OpN(MicrosoftDomain+"."+c.op, c.attrs, c.outs, ids...) {
			b.Output(string(rune('x'+i)), id)
		}
	}}
}
