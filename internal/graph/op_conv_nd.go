package graph

import "winnow/internal/tensor"

// convND is a convolution with more than two spatial dimensions, as video networks have them: plain loops.
type convND struct {
	*poolWalk
	group, cin, cout int
	shape            []int
}

// isConvND reports whether a Conv node has more spatial dimensions than the kernels of package kernel.
func isConvND(c *NodeCtx) bool { return len(c.In[0].Shape) > 4 && c.Node.Domain != Domain }

func planConvND(c *NodeCtx) (*convND, error) {
	x, w := c.In[0].Shape, c.In[1].Shape
	if err := checkRank(c, 0, 3, maxRank); err != nil {
		return nil, err
	}
	if err := checkRank(c, 1, len(x), len(x)); err != nil {
		return nil, err
	}
	g, err := convGroups(c, x, w)
	if err != nil {
		return nil, err
	}
	win, err := readWindow(c, x[2:], w[2:])
	if err != nil {
		return nil, err
	}
	p := &convND{group: g, cin: x[1], cout: w[0], shape: []int{x[0], w[0]}}
	for i, d := range x[2:] {
		n, err := win.out(c, i, d)
		if err != nil {
			return nil, err
		}
		p.shape = append(p.shape, n)
	}
	p.poolWalk = newPoolWalk(win, x[2:], p.shape[2:])
	return p, nil
}

func inferConvND(c *NodeCtx) error {
	p, err := planConvND(c)
	if err != nil {
		return err
	}
	if c.Has(2) && c.In[2].Elems() != p.cout {
		return badInput(c, 2, "of shape %v is no bias of %d channels", c.In[2].Shape, p.cout)
	}
	return out1(c, c.In[0].DType, p.shape)
}

func compileConvND(c *NodeCtx) (Kernel, error) {
	p, err := planConvND(c)
	if err != nil {
		return Kernel{}, err
	}
	if c.In[0].DType == tensor.F64 {
		return convPlanes[float64](p), nil
	}
	return convPlanes[float32](p), nil
}

// convPlanes computes one output plane per task: for every tap, the products of the channels in turn.
func convPlanes[T float](p *convND) Kernel {
	in, out := numElems(p.in), numElems(p.out)
	cig, cog := p.cin/p.group, p.cout/p.group
	return run(func(f *Frame) {
		x, w, dst, bias := view[T](f.In[0]), view[T](f.In[1]), view[T](f.Out[0]), optional[T](f, 2)
		rowTasks(f.Pool, p.shape[0]*p.cout, out*cig*p.taps, func(lo, hi int) {
			for plane := lo; plane < hi; plane++ {
				n, co := plane/p.cout, plane%p.cout
				src := x[(n*p.cin+co/cog*cig)*in:][:cig*in]
				weights := w[co*cig*p.taps:][:cig*p.taps]
				for i := range out {
					sum := 0.0
					if bias != nil {
						sum = float64(bias[co])
					}
					p.eachTap(i, func(tap, at int) {
						for ci := range cig {
							sum += float64(src[ci*in+at]) * float64(weights[ci*p.taps+tap])
						}
					})
					dst[plane*out+i] = T(sum)
				}
			}
		})
	})
}
