package graph

import "winnow/internal/kernel"

// plainConv is the float64 convolution: the definition, one output element after the other.
func plainConv(c *NodeCtx, s kernel.ConvSpec) Kernel {
	oh, ow := s.OutH(), s.OutW()
	hasBias, hasResidual := c.Has(2), c.Has(3)
	k := run(func(f *Frame) {
		x, w, dst := view[float64](f.In[0]), view[float64](f.In[1]), view[float64](f.Out[0])
		rowTasks(f.Pool, s.N*s.Cout, oh*ow*s.Cin/s.Groups*s.KH*s.KW, func(lo, hi int) {
			for plane := lo; plane < hi; plane++ {
				out := dst[plane*oh*ow:][:oh*ow]
				bias := 0.0
				if hasBias {
					bias = view[float64](f.In[2])[plane%s.Cout]
				}
				for i := range out {
					out[i] = bias + convPoint(s, x, w, plane, i/ow, i%ow)
					if hasResidual {
						out[i] += view[float64](f.In[3])[plane*oh*ow+i]
					}
				}
			}
		})
	})
	k.Flops = convFlops(s)
	return k
}

// convPoint is output element (oy, ox) of plane n·Cout+co, without bias.
func convPoint(s kernel.ConvSpec, x, w []float64, plane, oy, ox int) float64 {
	n, co := plane/s.Cout, plane%s.Cout
	cg := s.Cin / s.Groups
	first := co / (s.Cout / s.Groups) * cg
	sum := 0.0
	for ci := range cg {
		src := x[(n*s.Cin+first+ci)*s.H*s.W:]
		taps := w[(co*cg+ci)*s.KH*s.KW:]
		for ky := range s.KH {
			y := oy*s.StrideH - s.PadT + ky*s.DilH
			if y < 0 || y >= s.H {
				continue
			}
			for kx := range s.KW {
				if xx := ox*s.StrideW - s.PadL + kx*s.DilW; xx >= 0 && xx < s.W {
					sum += src[y*s.W+xx] * taps[ky*s.KW+kx]
				}
			}
		}
	}
	return sum
}
