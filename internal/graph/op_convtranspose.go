package graph

import (
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "ConvTranspose", Since: 1, Infer: inferConvTranspose, Compile: compileConvTranspose, VJP: convTransposeVJP})
}

// transposed is a checked ConvTranspose node with one to three spatial dimensions.
type transposed struct {
	window
	group, cin, cout int // channels of the whole tensors
	in, out          []int
}

func planConvTranspose(c *NodeCtx) (*transposed, []int, error) {
	x, w := c.In[0].Shape, c.In[1].Shape
	if err := checkRank(c, 0, 3, 5); err != nil {
		return nil, nil, err
	}
	if err := checkRank(c, 1, len(x), len(x)); err != nil {
		return nil, nil, err
	}
	g := int(min(max(c.AttrInt("group", 1), 0), maxElems))
	if g < 1 || w[0] != x[1] || w[0]%g != 0 || w[1] == 0 || w[0] == 0 || g > maxElems/w[1] {
		return nil, nil, badInput(c, 1, "of shape %v does not fit an input of shape %v in %d groups", w, x, g)
	}
	p := &transposed{group: g, cin: x[1], cout: w[1] * g, in: x[2:]}
	auto := c.AttrString("auto_pad", "NOTSET")
	var err error
	if p.kernel, err = readKernelShape(c, len(p.in), w[2:]); err != nil {
		return nil, nil, err
	}
	if p.stride, err = intsAttr(c, "strides", len(p.in), 1, 1); err != nil {
		return nil, nil, err
	}
	if p.dil, err = intsAttr(c, "dilations", len(p.in), 1, 1); err != nil {
		return nil, nil, err
	}
	if err := p.sizes(c, auto); err != nil {
		return nil, nil, err
	}
	return p, append([]int{x[0], p.cout}, p.out...), nil
}

// sizes derives pads and result sizes from pads, output_padding, output_shape and auto_pad.
func (p *transposed) sizes(c *NodeCtx, auto string) error {
	n := len(p.in)
	pads, err := intsAttr(c, "pads", 2*n, 0, 0)
	if err != nil {
		return err
	}
	extra, err := intsAttr(c, "output_padding", n, 0, 0)
	if err != nil {
		return err
	}
	want, err := intsAttr(c, "output_shape", n, 0, -1)
	if err != nil {
		return err
	}
	switch auto {
	case "NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		return c.Refuse("auto_pad", auto+" is not known")
	}
	p.begin, p.end, p.out = pads[:n], pads[n:], make([]int, n)
	for i := range p.in {
		if p.in[i] < 1 || p.in[i] > maxElems/maxWindow {
			return badInput(c, 0, "of shape %v has an empty or too large side", c.In[0].Shape)
		}
		full := (p.in[i]-1)*p.stride[i] + extra[i] + p.span(i)
		same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
		if same && want[i] < 0 {
			want[i] = p.in[i] * p.stride[i]
		}
		if want[i] >= 0 {
			total := max(full-want[i], 0)
			p.begin[i], p.end[i] = total-total/2, total/2
			if auto == "SAME_UPPER" {
				p.begin[i], p.end[i] = total/2, total-total/2
			}
			p.out[i] = want[i]
			continue
		}
		p.out[i] = full - p.begin[i] - p.end[i]
		if p.out[i] < 0 {
			return badNode(c, "pads %v remove more than the result has", pads)
		}
	}
	return nil
}

func inferConvTranspose(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classFloat); err != nil {
		return err
	}
	if err := checkSameType(c, 0, 3); err != nil {
		return err
	}
	p, shape, err := planConvTranspose(c)
	if err != nil {
		return err
	}
	if err := checkShape(c, 2, p.cout); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, shape)
}

func compileConvTranspose(c *NodeCtx) (Kernel, error) {
	p, _, err := planConvTranspose(c)
	if err != nil {
		return Kernel{}, err
	}
	if c.In[0].DType == tensor.F64 {
		return convTranspose[float64](p), nil
	}
	if k, ok := fastConvTranspose(c, p); ok {
		return k, nil
	}
	return convTranspose[float32](p), nil
}

// convTranspose scatters every input element through the kernel, one output plane per task.
func convTranspose[T float](p *transposed) Kernel {
	inSize, outSize, taps := numElems(p.in), numElems(p.out), numElems(p.kernel)
	cig, cog := p.cin/p.group, p.cout/p.group
	if outSize == 0 {
		return run(func(*Frame) {})
	}
	return run(func(f *Frame) {
		x, w, dst, bias := view[T](f.In[0]), view[T](f.In[1]), view[T](f.Out[0]), optional[T](f, 2)
		rowTasks(f.Pool, len(dst)/outSize, cig*inSize*taps, func(lo, hi int) {
			for plane := lo; plane < hi; plane++ {
				n, co := plane/p.cout, plane%p.cout
				y := dst[plane*outSize:][:outSize]
				var b T
				if bias != nil {
					b = bias[co]
				}
				fillWith(y, b)
				first := co / cog * cig
				for ci := range cig {
					src := x[(n*p.cin+first+ci)*inSize:][:inSize]
					scatterPlane(p, y, src, w[((first+ci)*cog+co%cog)*taps:][:taps])
				}
			}
		})
	})
}

func scatterPlane[T float](p *transposed, y, src, w []T) {
	for i, v := range src {
		for tap, weight := range w {
			at, pos, rest, str := 0, i, tap, 1
			for d := len(p.in) - 1; d >= 0; d-- {
				o := pos%p.in[d]*p.stride[d] - p.begin[d] + rest%p.kernel[d]*p.dil[d]
				pos /= p.in[d]
				rest /= p.kernel[d]
				if o < 0 || o >= p.out[d] {
					at = -1
					break
				}
				at += o * str
				str *= p.out[d]
			}
			if at >= 0 {
				y[at] += v * weight
			}
		}
	}
}
