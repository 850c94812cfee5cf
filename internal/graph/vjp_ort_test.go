package graph_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// ortCase is one node whose gradient has to run in ONNX Runtime.
type ortCase struct {
	op     string
	attrs  map[string]graph.Attr
	shapes [][]int
	since  int // lowest opset with a gradient
}

func windowAttrs(stride, dilation, begin, end, group int) map[string]graph.Attr {
	return map[string]graph.Attr{
		"strides": graph.IntsAttr(stride, stride), "dilations": graph.IntsAttr(dilation, dilation),
		"pads": graph.IntsAttr(begin, begin, end, end), "group": graph.IntAttr(group),
	}
}

func poolAttrs(size, stride, pad int) map[string]graph.Attr {
	return map[string]graph.Attr{
		"kernel_shape": graph.IntsAttr(size, size), "strides": graph.IntsAttr(stride, stride), "pads": graph.IntsAttr(pad, pad, pad, pad),
	}
}

var ortCases = []ortCase{
	{"MatMul", nil, [][]int{{2, 3, 5}, {5, 4}}, 0},
	{"MatMul", nil, [][]int{{5}, {2, 5, 4}}, 0},
	{"Gemm", map[string]graph.Attr{"transB": graph.IntAttr(1), "alpha": graph.FloatAttr(0.5)}, [][]int{{3, 5}, {4, 5}, {4}}, 0},
	{"Einsum", map[string]graph.Attr{"equation": graph.StringAttr("bhid,bhjd->bhij")}, [][]int{{2, 3, 4, 5}, {2, 3, 2, 5}}, 0},
	{"Einsum", map[string]graph.Attr{"equation": graph.StringAttr("ij,kl->i")}, [][]int{{3, 2}, {2, 4}}, 0},
	{"Conv", windowAttrs(1, 1, 1, 1, 1), [][]int{{2, 3, 5, 4}, {4, 3, 3, 3}, {4}}, 0},
	{"Conv", windowAttrs(1, 1, 1, 1, 1), [][]int{{2, 5, 5, 4}, {2, 5, 3, 3}, {2}}, 0},
	{"Conv", windowAttrs(2, 1, 0, 1, 1), [][]int{{1, 2, 6, 7}, {3, 2, 3, 3}, {3}}, 0},
	{"Conv", windowAttrs(2, 2, 1, 2, 2), [][]int{{2, 4, 9, 8}, {6, 2, 3, 2}, {6}}, 0},
	{"Conv", windowAttrs(1, 1, 1, 0, 2), [][]int{{2, 6, 5, 4}, {4, 3, 3, 2}, {4}}, 0},
	{"Conv", windowAttrs(2, 1, 0, 0, 1), [][]int{{2, 3, 5, 4}, {4, 3, 1, 1}, {4}}, 0},
	{"ConvTranspose", windowAttrs(2, 1, 1, 1, 1), [][]int{{2, 3, 3, 2}, {3, 2, 4, 4}, {2}}, 0},
	{"ConvTranspose", windowAttrs(1, 2, 1, 0, 2), [][]int{{2, 4, 3, 3}, {4, 3, 2, 3}, {6}}, 0},
	{"MaxPool", poolAttrs(3, 2, 1), [][]int{{2, 3, 7, 6}}, 16},
	{"MaxPool", poolAttrs(2, 2, 0), [][]int{{2, 3, 6, 6}}, 0},
	{"AveragePool", poolAttrs(3, 2, 1), [][]int{{2, 3, 7, 6}}, 0},
	{"GlobalAveragePool", nil, [][]int{{2, 3, 4, 5}}, 0},
	{"GlobalMaxPool", nil, [][]int{{2, 3, 4, 5}}, 0},
}

// TestGradientOperatorsInONNXRuntime: what the rules emit is valid in every opset that exporters write, and ONNX Runtime
// has kernels for it.
func TestGradientOperatorsInONNXRuntime(t *testing.T) {
	fast, _, theirs := executors(t)
	for _, opset := range []int{14, 17, 20, 21} {
		for i, c := range ortCases {
			if opset < c.since {
				continue
			}
			t.Run(fmt.Sprintf("opset%d/%s/%d", opset, c.op, i), func(t *testing.T) {
				b := graph.NewBuilder("gradient").Opset("", opset)
				r := rand.New(rand.NewPCG(uint64(i), 5))
				in, spec, ids := map[string]tensor.Tensor{}, graph.GradientSpec{}, []graph.ValueID{}
				for k, shape := range c.shapes {
					name := fmt.Sprintf("x%d", k)
					in[name] = normals(r, shape)
					ids, spec.Wrt = append(ids, b.Input(name, tensor.F32, shape...)), append(spec.Wrt, name)
				}
				b.Output("y", b.OpA(c.op, c.attrs, ids...))
				g, err := b.Build()
				if err != nil {
					t.Fatal(err)
				}
				in["cotangent/y"] = normals(r, execute(t, fast, g, in)["y"].Shape)
				types := typesOf(in)
				delete(types, "cotangent/y")
				both, err := graph.VJP(g, types, spec)
				if err != nil {
					t.Fatal(err)
				}
				want := execute(t, fast, both, in)
				agree(t, c.op, execute(t, theirs, both, in), want, execute(t, fast, both, nudged(in)))
			})
		}
	}
}

func normals(r *rand.Rand, shape []int) tensor.Tensor {
	x := tensor.New(tensor.F32, shape...)
	for i := range x.F32() {
		x.F32()[i] = float32(r.NormFloat64())
	}
	return x
}
