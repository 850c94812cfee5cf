package graph

import (
	"fmt"
	"testing"

	"winnow/internal/tensor"
)

func TestVJPResize(t *testing.T) {
	for _, c := range []struct {
		mode, coords string
		h, w         int
		attrs        map[string]Attr
	}{
		{mode: "nearest", coords: "asymmetric", h: 10, w: 12},
		{mode: "nearest", coords: "half_pixel", h: 10, w: 7},
		{mode: "nearest", coords: "align_corners", h: 3, w: 2},
		{mode: "linear", coords: "half_pixel", h: 8, w: 9},
		{mode: "linear", coords: "align_corners", h: 11, w: 2},
		{mode: "linear", coords: "pytorch_half_pixel", h: 1, w: 4},
		{mode: "linear", coords: "half_pixel", h: 3, w: 2, attrs: map[string]Attr{"antialias": IntAttr(1)}},
		{mode: "cubic", coords: "half_pixel", h: 8, w: 3, attrs: map[string]Attr{"cubic_coeff_a": FloatAttr(-0.5)}},
		{mode: "cubic", coords: "half_pixel", h: 3, w: 3, attrs: map[string]Attr{"antialias": IntAttr(1), "exclude_outside": IntAttr(1)}},
	} {
		for _, opset := range []int{17, 18, 20} {
			if c.attrs["antialias"].I > 0 && opset < 18 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%dx%d/%d", c.mode, c.coords, c.h, c.w, opset), func(t *testing.T) {
				attrs := withAttr(c.attrs, "mode", StringAttr(c.mode))
				attrs["coordinate_transformation_mode"] = StringAttr(c.coords)
				checkVJP(t, gradCase{
					name: "resize", opset: opset,
					build: func(b *Builder, dt tensor.DType) {
						x := b.Input("x", dt, 2, 3, 5, 4)
						b.Output("y", b.OpA("Resize", attrs, x, None, None, b.Const(i64s(2, 3, int64(c.h), int64(c.w)))))
					},
					in: map[string]tensor.Tensor{"x": normal64(3, 2, 3, 5, 4)},
				})
			})
		}
	}
}
