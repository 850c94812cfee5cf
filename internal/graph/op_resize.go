package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Resize", Since: 10, Infer: inferResize, Compile: compileResize, VJP: resizeVJP})
	Register(Operator{Name: "Upsample", Since: 7, Infer: inferResize, Compile: compileResize, VJP: resizeVJP})
}

// resizePlan is a checked Resize node: the size and scale of every dimension, and how coordinates map.
type resizePlan struct {
	out          []int
	scale        []float64 // output size over input size, as the model states it
	roi          []float64 // start and end per dimension, in units of the input size
	mode         string    // nearest, linear, cubic
	coords       string    // coordinate_transformation_mode
	nearest      string    // nearest_mode
	cubicA       float64
	legacy       bool // nearest as before nearest_mode: the pixel above when shrinking, the one below when enlarging
	exclude      bool // exclude_outside
	antialias    bool
	extrapolated float64
}

// resizeInputs locates roi, scales and sizes among the inputs, -1 where the opset has none.
func resizeInputs(c *NodeCtx) (roi, scales, sizes int) {
	switch {
	case c.Node.Op == "Upsample" && c.Node.Opset < 9:
		return -1, -1, -1
	case c.Node.Op == "Upsample" || c.Node.Opset == 10:
		return -1, 1, -1
	}
	return 1, 2, 3
}

func inferResize(c *NodeCtx) error {
	hi := 4
	if _, scales, sizes := resizeInputs(c); sizes < 0 {
		hi = scales + 1
		if scales < 0 {
			hi = 1
		}
	}
	if err := checkArity(c, 1, hi, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFixed); err != nil {
		return err
	}
	p, err := planResize(c)
	if err != nil {
		return err
	}
	return out1(c, c.In[0].DType, p.out)
}

func planResize(c *NodeCtx) (*resizePlan, error) {
	rank := len(c.In[0].Shape)
	p := &resizePlan{
		out: append([]int{}, c.In[0].Shape...), scale: make([]float64, rank), roi: make([]float64, 2*rank),
		mode: c.AttrString("mode", "nearest"), nearest: c.AttrString("nearest_mode", "round_prefer_floor"),
		coords: c.AttrString("coordinate_transformation_mode", "half_pixel"),
		cubicA: float64(c.AttrFloat("cubic_coeff_a", -0.75)), exclude: c.AttrInt("exclude_outside", 0) != 0,
		antialias: c.AttrInt("antialias", 0) != 0, extrapolated: float64(c.AttrFloat("extrapolation_value", 0)),
	}
	if c.Node.Op == "Upsample" || c.Node.Opset == 10 { // before coordinate modes: x_original = x / scale
		p.coords, p.nearest, p.legacy = "asymmetric", "floor", true
	}
	for i := range p.scale {
		p.scale[i], p.roi[rank+i] = 1, 1
	}
	if p.mode == "bilinear" { // spelling of Upsample-7 models
		p.mode = "linear"
	}
	if err := p.checkModes(c); err != nil {
		return nil, err
	}
	axes, err := resizeAxes(c, rank)
	if err != nil {
		return nil, err
	}
	if err := p.readSize(c, axes); err != nil {
		return nil, err
	}
	return p, p.readROI(c, axes)
}

func (p *resizePlan) checkModes(c *NodeCtx) error {
	for _, v := range []struct {
		attr, got string
		legal     []string
	}{
		{"mode", p.mode, []string{"nearest", "linear", "cubic"}},
		{"nearest_mode", p.nearest, []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}},
		{"coordinate_transformation_mode", p.coords, []string{
			"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
			"align_corners", "asymmetric", "tf_crop_and_resize", "tf_half_pixel_for_nn",
		}},
	} {
		ok := false
		for _, s := range v.legal {
			ok = ok || s == v.got
		}
		if !ok {
			return c.Refuse(v.attr, v.got+" is not known")
		}
	}
	if p.mode != "nearest" && classOf(c.In[0].DType) != classFloat {
		return c.Refuse("mode", p.mode+" interpolation of "+c.In[0].DType.String())
	}
	return nil
}

// resizeAxes returns the dimensions that scales, sizes and roi talk about (attribute axes, opset 18).
func resizeAxes(c *NodeCtx, rank int) ([]int, error) {
	v, ok := c.AttrInts("axes")
	axes := []int{}
	if !ok {
		for i := range rank {
			axes = append(axes, i)
		}
		return axes, nil
	}
	if _, err := normAxes(c, v, rank); err != nil {
		return nil, err
	}
	for _, a := range v {
		axes = append(axes, int((a+int64(rank))%int64(rank)))
	}
	return axes, nil
}

// readSize fills out and scale from scales or sizes; exactly one of them must be given.
func (p *resizePlan) readSize(c *NodeCtx, axes []int) error {
	_, scalesAt, sizesAt := resizeInputs(c)
	scales, err := resizeScales(c, scalesAt)
	if err != nil {
		return err
	}
	if sizesAt > 0 && c.Has(sizesAt) && len(scales) == 0 {
		return p.fromSizes(c, sizesAt, axes)
	}
	if len(scales) != len(axes) {
		return badNode(c, "has %d scales for %d dimensions", len(scales), len(axes))
	}
	for i, a := range axes {
		s := scales[i]
		n := math.Floor(float64(s * float32(p.out[a]))) // in float32, as exporters and other runtimes compute it
		if !(s > 0) || n > maxElems {
			return badNode(c, "scale %v of dimension %d is out of range", s, a)
		}
		p.out[a], p.scale[a] = int(n), float64(s)
	}
	return nil
}

func resizeScales(c *NodeCtx, at int) ([]float32, error) {
	if at < 0 {
		a, _ := c.Attr("scales")
		return a.Floats, nil
	}
	if !c.Has(at) || c.In[at].Elems() == 0 {
		return nil, nil
	}
	return c.ConstF32(at)
}

func (p *resizePlan) fromSizes(c *NodeCtx, at int, axes []int) error {
	sizes, err := c.ConstInts(at)
	if err != nil {
		return err
	}
	if len(sizes) != len(axes) {
		return badInput(c, at, "has %d sizes for %d dimensions", len(sizes), len(axes))
	}
	policy := c.AttrString("keep_aspect_ratio_policy", "stretch")
	common := math.NaN()
	for i, a := range axes {
		if sizes[i] < 0 || sizes[i] > maxElems || p.out[a] == 0 && sizes[i] > 0 {
			return badInput(c, at, "%v cannot be made from shape %v", sizes, c.In[0].Shape)
		}
		if p.out[a] > 0 {
			p.scale[a] = float64(sizes[i]) / float64(p.out[a])
		}
		switch {
		case math.IsNaN(common):
			common = p.scale[a]
		case policy == "not_larger":
			common = math.Min(common, p.scale[a])
		case policy == "not_smaller":
			common = math.Max(common, p.scale[a])
		}
		p.out[a] = int(sizes[i])
	}
	switch policy {
	case "stretch":
		return nil
	case "not_larger", "not_smaller":
	default:
		return c.Refuse("keep_aspect_ratio_policy", policy+" is not known")
	}
	for _, a := range axes {
		n := math.Floor(common*float64(c.In[0].Shape[a]) + 0.5)
		if n > maxElems {
			return badInput(c, at, "%v makes the result too large", sizes)
		}
		p.scale[a], p.out[a] = common, int(n)
	}
	return nil
}

// readROI reads the region of interest that tf_crop_and_resize needs.
func (p *resizePlan) readROI(c *NodeCtx, axes []int) error {
	at, _, _ := resizeInputs(c)
	if p.coords != "tf_crop_and_resize" {
		return nil
	}
	if at < 0 || !c.Has(at) {
		return badNode(c, "mode tf_crop_and_resize requires input roi")
	}
	roi, err := c.ConstF32(at)
	if err != nil {
		return err
	}
	if len(roi) != 2*len(axes) {
		return badInput(c, at, "has %d numbers, want %d", len(roi), 2*len(axes))
	}
	rank := len(c.In[0].Shape)
	for i, a := range axes {
		p.roi[a], p.roi[rank+a] = float64(roi[i]), float64(roi[len(axes)+i])
	}
	return nil
}

// source maps output coordinate x of dimension d to input coordinates (ONNX operator Resize,
// attribute coordinate_transformation_mode). ok is false where tf_crop_and_resize leaves the input. The arithmetic is
// float32 because rounding decides which pixel "nearest" shows, and models are made with runtimes that use float32.
func (p *resizePlan) source(d, x, in int) (at float64, ok bool) {
	n, scale, fx := float32(in), float32(p.scale[d]), float32(x)
	width := scale * n // before rounding down to the output size
	switch p.coords {
	case "asymmetric":
		return float64(fx / scale), true
	case "align_corners":
		if width == 1 {
			return 0, true
		}
		return float64(fx * (n - 1) / (width - 1)), true
	case "pytorch_half_pixel":
		if p.out[d] <= 1 {
			return 0, true
		}
	case "tf_half_pixel_for_nn":
		return float64((fx + 0.5) / scale), true
	case "half_pixel_symmetric":
		return float64(n/2*(1-float32(p.out[d])/width) + (fx+0.5)/scale - 0.5), true
	case "tf_crop_and_resize":
		start, end := float32(p.roi[d]), float32(p.roi[len(p.out)+d])
		v := start * (n - 1)
		if width == 1 {
			v += (end - start) * (n - 1) / 2
		} else {
			v += fx * (end - start) * (n - 1) / (width - 1)
		}
		return float64(v), v >= 0 && v <= n-1
	}
	return float64(float32((fx+0.5)/scale) - 0.5), true
}

func compileResize(c *NodeCtx) (Kernel, error) {
	p, err := planResize(c)
	if err != nil {
		return Kernel{}, err
	}
	if p.mode == "nearest" {
		m := newAxisMap(c.In[0].Shape, p.out)
		for d, n := range c.In[0].Shape {
			for x := range m.src[d] {
				m.src[d][x] = p.nearestOf(d, x, n)
			}
		}
		return m.kernel(c, p.fill(c), -1), nil
	}
	if storage(c.In[0].DType) == tensor.F64 {
		return interpolateKernel[float64](c, p), nil
	}
	return interpolateKernel[float32](c, p), nil
}

// fill is the constant shown outside the input, in bytes of the element type.
func (p *resizePlan) fill(c *NodeCtx) []byte {
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return tensor.FromF32([]float32{float32(p.extrapolated)}).Data
	case tensor.F64:
		return tensor.FromF64([]float64{p.extrapolated}).Data
	}
	b := tensor.FromI64([]int64{int64(p.extrapolated)}).Data
	return b[:c.In[0].DType.Size()]
}

// nearestOf rounds by nearest_mode and clamps to the input; -1 shows the extrapolation value.
func (p *resizePlan) nearestOf(d, x, n int) int {
	if p.scale[d] == 1 && p.out[d] == n && p.coords != "tf_crop_and_resize" {
		return x
	}
	at, ok := p.source(d, x, n)
	if !ok {
		return -1
	}
	mode := p.nearest
	if p.legacy && p.scale[d] < 1 {
		mode = "ceil"
	}
	switch mode {
	case "floor":
		at = math.Floor(at)
	case "ceil":
		at = math.Ceil(at)
	case "round_prefer_ceil":
		at = math.Floor(at + 0.5)
	default:
		at = math.Ceil(at - 0.5)
	}
	return int(math.Max(0, math.Min(at, float64(n-1))))
}
