package graph

import (
	"strings"
	"testing"

	"winnow/internal/tensor"
)

// convCase describes one convolution: shapes of input and weights, and attributes as "name=1,2 name=3".
type convCase struct {
	name   string
	x, w   []int
	attrs  string
	noBias bool
}

// attrsOf reads "strides=2,1 group=3 auto_pad=SAME_UPPER". One number is an integer for the names that want one.
func attrsFrom(text string) map[string]Attr {
	out := map[string]Attr{}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		var ints []int
		for _, s := range strings.Split(value, ",") {
			n, digits := 0, strings.TrimLeft(s, "0123456789") == ""
			for _, r := range s {
				n = 10*n + int(r-'0')
			}
			if digits {
				ints = append(ints, n)
			}
		}
		switch {
		case len(ints) == 0:
			out[name] = StringAttr(value)
		case name == "strides" || name == "dilations" || name == "pads" || name == "kernel_shape" || strings.HasPrefix(name, "output_"):
			out[name] = IntsAttr(ints...)
		default:
			out[name] = IntAttr(ints[0])
		}
	}
	return out
}

func (c convCase) node(op string) gradCase {
	channels := c.w[0]
	attrs := attrsFrom(c.attrs)
	if op == "ConvTranspose" {
		if channels = c.w[1]; attrs["group"].I > 0 {
			channels *= int(attrs["group"].I)
		}
	}
	shapes := [][]int{c.x, c.w, {channels}}
	if c.noBias {
		shapes = shapes[:2]
	}
	return nodeCase(c.name, op, attrs, shapes...)
}

func TestVJPConv(t *testing.T) {
	for _, c := range []convCase{
		{name: "3x3", x: []int{2, 3, 5, 4}, w: []int{4, 3, 3, 3}, attrs: "pads=1,1,1,1"},
		{name: "3x3 to few channels", x: []int{2, 5, 5, 4}, w: []int{2, 5, 3, 3}, attrs: "pads=1,1,1,1"},
		{name: "1x1", x: []int{2, 3, 3, 2}, w: []int{4, 3, 1, 1}},
		{name: "1x1 without bias", x: []int{2, 3, 3, 2}, w: []int{4, 3, 1, 1}, noBias: true},
		{name: "1x1 in steps", x: []int{2, 3, 5, 4}, w: []int{4, 3, 1, 1}, attrs: "strides=2,3"},
		{name: "1x1 in groups", x: []int{2, 4, 3, 2}, w: []int{6, 2, 1, 1}, attrs: "group=2"},
		{name: "1x1 padded", x: []int{1, 2, 3, 2}, w: []int{2, 2, 1, 1}, attrs: "pads=1,0,0,2"},
		{name: "one dimension", x: []int{2, 3, 9}, w: []int{4, 3, 3}, attrs: "strides=2 pads=2,1 dilations=2"},
		{name: "downsampler", x: []int{2, 3, 6, 6}, w: []int{3, 3, 3, 3}, attrs: "strides=2,2 pads=1,1,1,1"},
		{name: "downsampler of a VAE", x: []int{1, 2, 6, 7}, w: []int{3, 2, 3, 3}, attrs: "strides=2,2 pads=0,0,1,1"},
		{name: "rest", x: []int{1, 2, 9, 8}, w: []int{2, 2, 2, 3}, attrs: "strides=3,4"},
		{name: "rest and padding", x: []int{1, 2, 8, 8}, w: []int{2, 2, 2, 3}, attrs: "strides=4,5 pads=1,0,1,2"},
		{name: "dilated", x: []int{1, 3, 8, 9}, w: []int{2, 3, 3, 2}, attrs: "dilations=2,3 pads=2,1,0,3"},
		{name: "dilated in steps", x: []int{1, 2, 8, 9}, w: []int{3, 2, 3, 2}, attrs: "dilations=2,3 strides=3,2 pads=2,1,0,3"},
		{name: "groups", x: []int{2, 4, 5, 4}, w: []int{6, 2, 3, 2}, attrs: "group=2 pads=1,0,1,1"},
		{name: "groups to few channels", x: []int{2, 6, 5, 4}, w: []int{4, 3, 3, 2}, attrs: "group=2 pads=1,0,1,1"},
		{name: "depthwise", x: []int{2, 3, 5, 4}, w: []int{6, 1, 3, 3}, attrs: "group=3 strides=2,1 pads=1,1,1,1"},
		{name: "patches", x: []int{1, 2, 7, 6}, w: []int{3, 2, 3, 3}, attrs: "strides=3,3"},
		{name: "upper", x: []int{1, 2, 6, 5}, w: []int{2, 2, 4, 2}, attrs: "auto_pad=SAME_UPPER strides=2,2"},
		{name: "lower", x: []int{1, 2, 6, 5}, w: []int{2, 2, 4, 2}, attrs: "auto_pad=SAME_LOWER"},
		{name: "valid", x: []int{1, 2, 6, 5}, w: []int{2, 2, 4, 2}, attrs: "auto_pad=VALID"},
		{name: "padding wider than the kernel", x: []int{1, 3, 3, 2}, w: []int{2, 3, 2, 2}, attrs: "pads=3,2,2,3"},
		{name: "nothing but padding", x: []int{1, 2, 1, 3}, w: []int{2, 2, 2, 2}, attrs: "pads=3,0,0,0 strides=4,1"},
	} {
		checkNodes(t, c.node("Conv"))
	}
}

func TestVJPConvTranspose(t *testing.T) {
	for _, c := range []convCase{
		{name: "3x3", x: []int{2, 3, 4, 3}, w: []int{3, 2, 3, 3}, attrs: "pads=1,1,1,1"},
		{name: "upsampler", x: []int{2, 3, 3, 2}, w: []int{3, 2, 4, 4}, attrs: "strides=2,2 pads=1,1,1,1"},
		{name: "output padding", x: []int{1, 2, 3, 2}, w: []int{2, 3, 3, 3}, attrs: "strides=2,3 pads=1,0,1,0 output_padding=1,2"},
		{name: "output padding beside pads", x: []int{1, 2, 3, 2}, w: []int{2, 3, 3, 3}, attrs: "strides=2,2 pads=1,1,1,0 output_padding=1,1"},
		{name: "dilated", x: []int{1, 2, 3, 4}, w: []int{2, 3, 3, 2}, attrs: "dilations=2,3 pads=0,1,2,1"},
		{name: "one dimension", x: []int{2, 3, 5}, w: []int{3, 2, 3}, attrs: "strides=2"},
		{name: "groups", x: []int{2, 4, 3, 3}, w: []int{4, 3, 2, 3}, attrs: "group=2 strides=1,2"},
		{name: "1x1", x: []int{2, 3, 3, 2}, w: []int{3, 4, 1, 1}, noBias: true},
		{name: "output shape", x: []int{1, 2, 3, 3}, w: []int{2, 2, 3, 3}, attrs: "strides=3,2 output_shape=10,8"},
		{name: "upper", x: []int{1, 2, 3, 3}, w: []int{2, 2, 3, 3}, attrs: "strides=2,2 auto_pad=SAME_UPPER"},
		{name: "gaps", x: []int{1, 2, 3, 3}, w: []int{2, 2, 1, 1}, attrs: "strides=2,3"},
	} {
		checkNodes(t, c.node("ConvTranspose"))
	}
}

// TestVJPConvFrozen: with constant weights nothing is built for them.
func TestVJPConvFrozen(t *testing.T) {
	for _, op := range []string{"Conv", "ConvTranspose"} {
		w := normal64(3, 4, 4, 3, 3)
		checkNodes(t, gradCase{
			name: op,
			build: func(b *Builder, dt tensor.DType) {
				x := b.Input("x", dt, 2, 4, 5, 6)
				k := w
				if dt == tensor.F32 {
					k = toF32(map[string]tensor.Tensor{"": w})[""]
				}
				b.Output("y", b.OpA(op, attrsFrom("pads=1,1,1,1"), x, b.Const(k)))
			},
			in: map[string]tensor.Tensor{"x": normal64(1, 2, 4, 5, 6)},
		})
	}
}
