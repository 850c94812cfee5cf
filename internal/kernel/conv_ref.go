package kernel

// convPlane computes one output plane by definition: for every pixel the sum over
// input channels and taps. weights are [Cout, Cin/Groups, KH, KW].
func convPlane(dst, src, weights []float32, s ConvSpec, ep Epilogue, n, co int) {
	oh, ow, cg := s.OutH(), s.OutW(), s.Cin/s.Groups
	first := co / (s.Cout / s.Groups) * cg
	at := (n*s.Cout + co) * oh * ow
	out := dst[at:][:oh*ow]
	sum := make([]float32, oh*ow)
	for c := range cg {
		plane := src[(n*s.Cin+first+c)*s.H*s.W:][:s.H*s.W]
		for t := range s.KH * s.KW {
			convTapRef(sum, plane, weights[(co*cg+c)*s.KH*s.KW+t], s, t/s.KW, t%s.KW)
		}
	}
	alpha := ep.Alpha
	if alpha == 0 {
		alpha = 1
	}
	for i := range sum {
		sum[i] *= alpha
		if ep.RowBias != nil {
			sum[i] += ep.RowBias[co]
		}
	}
	ep.Act.Apply(sum, sum)
	for i := range sum {
		if ep.Residual != nil {
			sum[i] += ep.Residual[at+i]
		}
		out[i] = sum[i]
	}
}

// convTapRef adds one tap of one input plane to the sums of an output plane.
func convTapRef(sum, plane []float32, weight float32, s ConvSpec, ky, kx int) {
	oh, ow := s.OutH(), s.OutW()
	for y := range oh {
		iy := y*s.StrideH - s.PadT + ky*s.DilH
		if iy < 0 || iy >= s.H {
			continue
		}
		for x := range ow {
			ix := x*s.StrideW - s.PadL + kx*s.DilW
			if ix >= 0 && ix < s.W {
				sum[y*ow+x] += weight * plane[iy*s.W+ix]
			}
		}
	}
}
