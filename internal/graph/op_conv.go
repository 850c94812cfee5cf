package graph

import (
	"fmt"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Conv", Since: 1, Infer: inferConv, Compile: compileConv, VJP: convVJP})
	Register(Operator{Name: "Conv", Domain: Domain, Since: 1, Infer: inferConv, Compile: compileConv, VJP: fusedConvVJP})
}

// window holds the spatial attributes that convolutions and pooling share, one entry per spatial dimension.
type window struct {
	kernel, stride, dil, begin, end []int
}

// maxWindow bounds strides, dilations, pads and kernel sizes, so that their products stay inside int.
const maxWindow = 1 << 20

// intsAttr returns a list attribute with n entries between lo and maxWindow, or n times def.
func intsAttr(c *NodeCtx, name string, n, lo, def int) ([]int, error) {
	out := make([]int, n)
	v, ok := c.AttrInts(name)
	if ok && len(v) != n {
		return nil, badNode(c, "attribute %s has %d entries, want %d", name, len(v), n)
	}
	for i := range out {
		out[i] = def
		if ok {
			if v[i] < int64(lo) || v[i] > maxWindow {
				return nil, badNode(c, "attribute %s = %v is out of range", name, v)
			}
			out[i] = int(v[i])
		}
	}
	return out, nil
}

// readWindow reads kernel_shape, strides, dilations, pads and auto_pad for the spatial sizes in. kernelShape is the
// weights' (nil: the attribute is required).
func readWindow(c *NodeCtx, in, kernelShape []int) (w window, err error) {
	n := len(in)
	if w.kernel, err = readKernelShape(c, n, kernelShape); err != nil {
		return w, err
	}
	if w.stride, err = intsAttr(c, "strides", n, 1, 1); err != nil {
		return w, err
	}
	if w.dil, err = intsAttr(c, "dilations", n, 1, 1); err != nil {
		return w, err
	}
	pads, err := intsAttr(c, "pads", 2*n, 0, 0)
	if err != nil {
		return w, err
	}
	w.begin, w.end = pads[:n], pads[n:]
	return w, w.autoPad(c, in)
}

func readKernelShape(c *NodeCtx, n int, fromWeights []int) ([]int, error) {
	if _, ok := c.AttrInts("kernel_shape"); !ok && fromWeights == nil {
		return nil, badNode(c, "lacks attribute kernel_shape")
	}
	k, err := intsAttr(c, "kernel_shape", n, 1, 1)
	if err != nil || fromWeights == nil {
		return k, err
	}
	if _, ok := c.AttrInts("kernel_shape"); ok && !equalShape(k, fromWeights) {
		return nil, badNode(c, "attribute kernel_shape = %v contradicts weights of size %v", k, fromWeights)
	}
	for _, d := range fromWeights {
		if d < 1 || d > maxWindow {
			return nil, badInput(c, 1, "has a kernel of size %v", fromWeights)
		}
	}
	return fromWeights, nil
}

// span is the extent of the dilated kernel along spatial dimension i.
func (w *window) span(i int) int { return w.dil[i]*(w.kernel[i]-1) + 1 }

// autoPad replaces the pads when auto_pad asks for it.
func (w *window) autoPad(c *NodeCtx, in []int) error {
	mode := c.AttrString("auto_pad", "NOTSET")
	switch mode {
	case "NOTSET", "":
		return nil
	case "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		return c.Refuse("auto_pad", "want NOTSET, VALID, SAME_UPPER or SAME_LOWER, not "+mode)
	}
	for i := range in {
		total := 0
		if mode != "VALID" {
			out := (in[i] + w.stride[i] - 1) / w.stride[i]
			total = max(0, (out-1)*w.stride[i]+w.span(i)-in[i])
		}
		w.begin[i], w.end[i] = total/2, total-total/2
		if mode == "SAME_LOWER" {
			w.begin[i], w.end[i] = w.end[i], w.begin[i]
		}
	}
	return nil
}

// out returns the size along spatial dimension i for an input of size n, or an error when the kernel does not fit.
func (w *window) out(c *NodeCtx, i, n int) (int, error) {
	room := n + w.begin[i] + w.end[i] - w.span(i)
	if room < 0 {
		return 0, badNode(c, "a kernel of extent %d does not fit a padded input of size %d", w.span(i),
			n+w.begin[i]+w.end[i])
	}
	return room/w.stride[i] + 1, nil
}

// convSpec checks a Conv node and returns its geometry; one-dimensional convolutions become height-1 images.
func convSpec(c *NodeCtx) (kernel.ConvSpec, []int, error) {
	var s kernel.ConvSpec
	x, w := c.In[0].Shape, c.In[1].Shape
	if err := checkRank(c, 0, 3, 4); err != nil {
		if len(x) == 5 {
			err = c.Refuse("", "three-dimensional convolution")
		}
		return s, nil, err
	}
	if err := checkRank(c, 1, len(x), len(x)); err != nil {
		return s, nil, err
	}
	if weightsLast(c) {
		if len(w) != 4 || c.In[1].Const == nil || storage(c.In[1].Const.DType) != tensor.F32 {
			return s, nil, c.Refuse("w_layout", "weights that are no constant pictures stored as float32")
		}
		w = []int{w[0], w[3], w[1], w[2]}
	}
	g, err := convGroups(c, x, w)
	if err != nil {
		return s, nil, err
	}
	win, err := readWindow(c, x[2:], w[2:])
	if err != nil {
		return s, nil, err
	}
	shape := []int{x[0], w[0]}
	for i, d := range x[2:] {
		n, err := win.out(c, i, d)
		if err != nil {
			return s, nil, err
		}
		shape = append(shape, n)
	}
	s = kernel.ConvSpec{N: x[0], Cin: x[1], H: 1, Cout: w[0], KH: 1, StrideH: 1, DilH: 1, Groups: g}
	last := len(x) - 3
	s.W, s.KW, s.StrideW, s.DilW = x[len(x)-1], win.kernel[last], win.stride[last], win.dil[last]
	s.PadL, s.PadR = win.begin[last], win.end[last]
	if last == 1 {
		s.H, s.KH, s.StrideH, s.DilH = x[2], win.kernel[0], win.stride[0], win.dil[0]
		s.PadT, s.PadB = win.begin[0], win.end[0]
	}
	return s, shape, nil
}

// convGroups reads the groups and checks an input [N,C,…] and weights [M,C/groups,…] against them.
func convGroups(c *NodeCtx, x, w []int) (int, error) {
	g := int(min(max(c.AttrInt("group", 1), 0), maxElems))
	if g < 1 || x[1] != w[1]*g || w[0]%g != 0 || w[0] == 0 || w[1] == 0 {
		return 0, badInput(c, 1, "of shape %v does not fit an input of shape %v in %d groups", w, x, g)
	}
	if numElems(x[2:]) == 0 {
		return 0, badInput(c, 0, "of shape %v is an empty picture", x)
	}
	return g, nil
}

// inferConv serves Conv of both domains: winnow.Conv has a residual input and attribute act besides.
func inferConv(c *NodeCtx) error {
	hi := 3
	if c.Node.Domain == Domain {
		hi = 4
	}
	if err := checkArity(c, 2, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkSameType(c, 0, hi); err != nil {
		return err
	}
	if isConvND(c) {
		return inferConvND(c)
	}
	s, shape, err := convSpec(c)
	if err != nil {
		return err
	}
	if c.Has(2) && c.In[2].Elems() != s.Cout {
		return badInput(c, 2, "of shape %v is no bias of %d channels", c.In[2].Shape, s.Cout)
	}
	if err := checkShape(c, 3, shape...); err != nil {
		return err
	}
	if _, err := actOf(c, ""); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, shape)
}

func compileConv(c *NodeCtx) (Kernel, error) {
	if isConvND(c) {
		return compileConvND(c)
	}
	s, _, err := convSpec(c)
	if err != nil {
		return Kernel{}, err
	}
	act, err := actOf(c, "")
	if err != nil {
		return Kernel{}, err
	}
	if c.In[0].DType == tensor.F64 {
		if act != kernel.ActNone {
			return Kernel{}, c.Refuse("act", "fused activation of a float64 convolution")
		}
		return plainConv(c, s), nil
	}
	return vecConv(c, s, act), nil
}

// packConv packs constant weights, or returns nil when they are computed by the graph.
func packConv(c *NodeCtx, s kernel.ConvSpec) *kernel.PackedConv {
	t := c.In[1].Const
	if t == nil || storage(t.DType) != tensor.F32 {
		return nil
	}
	layout := s // packing does not depend on the picture: programs for other sizes share it
	layout.N, layout.H, layout.W, layout.PadT, layout.PadL, layout.PadB, layout.PadR = 0, 0, 0, 0, 0, 0, 0
	last := weightsLast(c)
	kind := fmt.Sprintf("conv/%v/%v/%v", layout, t.DType, last)
	return c.Packed(1, kind, func() (any, int) {
		data := t.Data
		if last {
			data = make([]byte, len(t.Data))
			kernel.TransposeBytes(nil, data, t.Data, t.DType.Size(), c.In[1].Shape, []int{0, 3, 1, 2})
		}
		w := kernel.PackConv(convSource(s, t.DType, data), s)
		return w, w.Bytes()
	}).(*kernel.PackedConv)
}

// weightsLast reports whether the weights of a winnow.Conv are [O,kH,kW,I].
func weightsLast(c *NodeCtx) bool {
	return c.Node.Domain == Domain && c.AttrString("w_layout", "") == layoutOHWI
}

func convSource(s kernel.ConvSpec, dt tensor.DType, data []byte) kernel.Source {
	return kernel.Source{DType: dt, Data: data, RowStride: s.Cin / s.Groups * s.KH * s.KW, ColStride: 1}
}

func vecConv(c *NodeCtx, s kernel.ConvSpec, act kernel.Act) Kernel {
	if c.Out[0].Elems() == 0 {
		return run(func(*Frame) {})
	}
	packed := packConv(c, s)
	hasBias, hasResidual := c.Has(2), c.Has(3)
	k := Kernel{Scratch: kernel.ConvScratch(max(1, c.Threads), s), Flops: convFlops(s)}
	if packed != nil {
		k.Absorbed = []int{1}
	}
	k.Run = func(f *Frame) error {
		w := packed
		if w == nil {
			w = kernel.PackConv(convSource(s, tensor.F32, f.In[1].Data), s)
		}
		ep := kernel.Epilogue{Act: act}
		if hasBias {
			ep.RowBias = view[float32](f.In[2])
		}
		if hasResidual {
			ep.Residual = view[float32](f.In[3])
		}
		kernel.Conv2D(f.Pool, f.Scratch, view[float32](f.Out[0]), view[float32](f.In[0]), w, s, ep)
		return nil
	}
	return k
}

func convFlops(s kernel.ConvSpec) float64 {
	out := float64(s.N) * float64(s.Cout) * float64(s.OutH()) * float64(s.OutW())
	return 2 * out * float64(s.Cin/s.Groups) * float64(s.KH) * float64(s.KW)
}
