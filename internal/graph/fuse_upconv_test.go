package graph

import (
	"io"
	"testing"

	"winnow/internal/tensor"
)

// upConvCase enlarges pictures of 5×4 and convolves them.
func upConvCase(resize map[string]Attr, scale float32, conv map[string]Attr, leak bool) gradCase {
	return gradCase{
		name: "upsampling",
		build: func(b *Builder, dt tensor.DType) {
			weights := func(seed uint64, shape ...int) ValueID {
				if dt == tensor.F64 {
					return b.Const(f64s(seed, shape...))
				}
				return b.Const(randn(seed, shape...))
			}
			x := b.Op("Tanh", b.Input("x", dt, 3, 2, 5, 4))
			big := b.OpA("Resize", resize, x, None, b.Const(tensor.FromF32([]float32{1, 1, scale, scale}, 4)))
			if leak {
				b.Output("big", b.Op("Neg", big))
			}
			y := b.OpA("Conv", conv, big, weights(5, 7, 2, 3, 3))
			b.Output("y", b.Op("Tanh", b.Op("Add", y, weights(6, 7, 1, 1))))
		},
		in: map[string]tensor.Tensor{"x": f64s(4, 3, 2, 5, 4)},
	}
}

// TestFuseUpConv: the doubling goes into the convolution, values and gradients stay.
func TestFuseUpConv(t *testing.T) {
	floor := map[string]Attr{"mode": StringAttr("nearest"), "coordinate_transformation_mode": StringAttr("asymmetric"), "nearest_mode": StringAttr("floor")}
	half := map[string]Attr{"mode": StringAttr("nearest"), "coordinate_transformation_mode": StringAttr("half_pixel"), "nearest_mode": StringAttr("round_prefer_floor")}
	same := map[string]Attr{"pads": IntsAttr(1, 1, 1, 1)}
	for name, c := range map[string]struct {
		resize map[string]Attr
		scale  float32
		conv   map[string]Attr
		leak   bool
		want   int
	}{
		"floor":           {floor, 2, same, false, 1},
		"half pixel":      {half, 2, same, false, 1},
		"linear":          {map[string]Attr{"mode": StringAttr("linear")}, 2, same, false, 0},
		"three times":     {floor, 3, same, false, 0},
		"stride":          {floor, 2, map[string]Attr{"pads": IntsAttr(1, 1, 1, 1), "strides": IntsAttr(2, 2)}, false, 0},
		"dilation":        {floor, 2, map[string]Attr{"pads": IntsAttr(1, 1, 1, 1), "dilations": IntsAttr(2, 2)}, false, 0},
		"other padding":   {floor, 2, map[string]Attr{"pads": IntsAttr(0, 0, 0, 0)}, false, 0},
		"read once more":  {floor, 2, same, true, 0},
		"padding by name": {floor, 2, map[string]Attr{"auto_pad": StringAttr("SAME_UPPER")}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := upConvCase(c.resize, c.scale, c.conv, c.leak)
			checkVJP(t, g)
			in := toF32(g.in)
			_, s := runBoth(t, g.graph(t, tensor.F32), in, 2e-6)
			wantFused(t, s, "upsampling", c.want)
			_, _, s = runGradientSpec(t, g.graph(t, tensor.F32), in, map[string]tensor.Tensor{}, GradientSpec{Wrt: []string{"x"}}, Options{Log: io.Discard})
			wantFused(t, s, "upsampling", c.want)
		})
	}
}
