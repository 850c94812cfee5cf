package graph

import (
	"testing"

	"winnow/internal/tensor"
)

func poolCase(name, op string, opset int, attrs map[string]Attr, shape ...int) gradCase {
	return gradCase{
		name: name, opset: opset,
		build: func(b *Builder, dt tensor.DType) {
			b.Output("y", b.OpA(op, attrs, b.Input("x", dt, shape...)))
		},
		in: map[string]tensor.Tensor{"x": normal64(5, shape...)},
	}
}

func TestVJPPools(t *testing.T) {
	window := func(kernel, strides, pads []int, more map[string]Attr) map[string]Attr {
		attrs := map[string]Attr{"kernel_shape": IntsAttr(kernel...), "strides": IntsAttr(strides...), "pads": IntsAttr(pads...)}
		for name, a := range more {
			attrs[name] = a
		}
		return attrs
	}
	odd := window([]int{3, 2}, []int{2, 1}, []int{1, 0, 0, 1}, nil)
	for _, c := range []gradCase{
		poolCase("average", "AveragePool", 17, odd, 2, 3, 7, 5),
		poolCase("average padded", "AveragePool", 17, window([]int{3, 3}, []int{2, 2}, []int{1, 1, 1, 1},
			map[string]Attr{"count_include_pad": IntAttr(1)}), 2, 3, 6, 6),
		poolCase("average ceil", "AveragePool", 19, window([]int{2, 2}, []int{2, 2}, []int{0, 0, 0, 0},
			map[string]Attr{"ceil_mode": IntAttr(1)}), 1, 2, 5, 7),
		poolCase("average row", "AveragePool", 14, window([]int{3}, []int{1}, []int{1, 1}, nil), 2, 3, 7),
		poolCase("max overlapping", "MaxPool", 17, odd, 2, 3, 7, 5),
		poolCase("max apart", "MaxPool", 14, window([]int{2, 2}, []int{2, 2}, []int{0, 0, 0, 0}, nil), 2, 3, 6, 5),
		poolCase("max dilated", "MaxPool", 17, window([]int{2, 2}, []int{1, 1}, []int{0, 0, 0, 0},
			map[string]Attr{"dilations": IntsAttr(2, 3)}), 1, 2, 6, 7),
		poolCase("global average", "GlobalAveragePool", 17, nil, 2, 3, 4, 5),
		poolCase("global max", "GlobalMaxPool", 17, nil, 2, 3, 4, 5),
	} {
		t.Run(c.name, func(t *testing.T) { checkVJP(t, c) })
	}
}
