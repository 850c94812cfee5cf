package kernel

import "math"

// GroupNormBackward writes the gradient of [GroupNorm] with respect to src to dst, which may be dy. sums is a temporary of
// 2·N·C numbers; it is left holding, per sample and channel, Σ dy·x̂ and Σ dy, dy taken back through the activation: added
// up over the samples they are the gradients of Gamma and Beta. With x̂ the normalised input and M the size of a group:
//
//	dx = (d − Σd/M − x̂·Σ(d·x̂)/M)/σ,  d = Gamma·dy
func GroupNormBackward(p *Pool, dst, sums, src, dy []float32, s GroupNormSpec) {
	need("group norm input", len(src), s.N*s.C*s.HW)
	need("group norm cotangent", len(dy), s.N*s.C*s.HW)
	need("group norm gradient", len(dst), s.N*s.C*s.HW)
	need("group norm sums", len(sums), 2*s.N*s.C)
	cg := s.C / s.Groups
	p.Run(s.N*s.Groups, func(_, i int) {
		at := i * cg * s.HW
		groupNormGrad{&s, i % s.Groups * cg, cg}.run(dst[at:], src[at:][:cg*s.HW], dy[at:], sums[2*i*cg:])
	})
}

// groupNormGrad is one group of one sample.
type groupNormGrad struct {
	*GroupNormSpec
	first, channels int
}

func (g groupNormGrad) run(dst, src, dy, sums []float32) {
	tmp := gradTemps.Get().(*gradTemp)
	defer gradTemps.Put(tmp)
	mean, rstd := moments(src, float64(g.Eps))
	s1, s2 := 0.0, 0.0
	for c := range g.channels {
		x, d := src[c*g.HW:][:g.HW], dst[c*g.HW:][:g.HW]
		if g.Act == ActNone {
			copy(d, dy[c*g.HW:])
		} else {
			m, b := channelAffine(g.Gamma, g.Beta, g.first+c, mean, rstd)
			g.actBackward(d, x, dy[c*g.HW:], m, b, tmp)
		}
		sum, dot := dots(d, x)
		dot = (dot - mean*sum) * rstd
		sums[2*c], sums[2*c+1] = float32(dot), float32(sum)
		s1, s2 = s1+g.gamma(c)*sum, s2+g.gamma(c)*dot
	}
	size := float64(len(src))
	a, b := -rstd*rstd*s2/size, -rstd*s1/size+mean*rstd*rstd*s2/size
	for c := range g.channels {
		axpby(dst[c*g.HW:], src[c*g.HW:][:g.HW], float32(g.gamma(c)*rstd), float32(a), float32(b))
	}
}

// actBackward takes dy of one channel back through the activation, whose argument is m·x + b.
func (g groupNormGrad) actBackward(d, x, dy []float32, m, b float32, tmp *gradTemp) {
	for at := 0; at < len(x); at += gradChunk {
		n := min(gradChunk, len(x)-at)
		MulAddScalar(tmp.u[:n], x[at:at+n], m, b)
		g.Act.backward(d[at:at+n], tmp.u[:n], dy[at:at+n], tmp)
	}
}

func (g groupNormGrad) gamma(c int) float64 {
	if g.Gamma == nil {
		return 1
	}
	return float64(g.Gamma[g.first+c])
}

// LayerNormBackward writes the gradient of [LayerNorm] with respect to src [rows, cols] to dst, which may be dy. With rms
// set it is that of [RMSNorm]. gamma is per column; nil stands for 1.
func LayerNormBackward(p *Pool, dst, src, dy []float32, rows, cols int, gamma []float32, eps float32, rms bool) {
	need("layer norm input", len(src), rows*cols)
	need("layer norm cotangent", len(dy), rows*cols)
	need("layer norm gradient", len(dst), rows*cols)
	eachRow(p, rows, cols, func(r int) {
		x, d := src[r*cols:][:cols], dst[r*cols:][:cols]
		if gamma != nil {
			Mul(d, dy[r*cols:][:cols], gamma[:cols])
		} else {
			copy(d, dy[r*cols:])
		}
		n, mean := float64(cols), 0.0
		s1, dot := dots(d, x)
		rstd := 0.0
		if rms {
			rstd, s1 = 1/math.Sqrt(SumSquares(x, 0)/n+float64(eps)), 0
		} else {
			mean, rstd = moments(x, float64(eps))
		}
		s2 := (dot - mean*s1) * rstd
		a, b := -rstd*rstd*s2/n, -rstd*s1/n+mean*rstd*rstd*s2/n
		axpby(d, x, float32(rstd), float32(a), float32(b))
	})
}
