package kernel

import "math"

// attentionRef computes attention by definition in float64, one query at a time.
func attentionRef(dst, q, k, v []float32, s AttentionSpec) {
	p := make([]float64, s.Sk)
	out := make([]float64, s.Dv)
	for b := range s.Batch {
		for h := range s.Heads {
			for i := range s.Sq {
				at := func(st [3]int, t int) int { return b*st[0] + h*st[1] + t*st[2] }
				attentionScoresRef(p, q[at(s.QStride, i):], k[at(s.KStride, 0):], s, i, at(s.MaskStride, i))
				clear(out)
				for j, w := range p {
					for c, x := range v[at(s.VStride, j):][:s.Dv] {
						out[c] += w * float64(x)
					}
				}
				for c, x := range out {
					dst[at(s.OStride, i)+c] = float32(x)
				}
			}
		}
	}
}

// attentionScoresRef writes the softmax weights of query i; q is its row, k the keys
// of its head, mask the offset of its row in the mask.
func attentionScoresRef(p []float64, q, k []float32, s AttentionSpec, i, mask int) {
	top, sum := math.Inf(-1), 0.0
	for j := range p {
		dot := 0.0
		for c, x := range k[j*s.KStride[2]:][:s.D] {
			dot += float64(q[c]) * float64(x)
		}
		dot *= s.scale()
		if s.Mask != nil {
			dot += float64(s.Mask[mask+j])
		}
		if s.Causal && j > i {
			dot = math.Inf(-1)
		}
		p[j] = dot
		top = math.Max(top, dot)
	}
	for j := range p {
		p[j] = math.Exp(p[j] - top)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
}

func (s *AttentionSpec) scale() float64 {
	if s.Scale == 0 {
		return 1 / math.Sqrt(float64(s.D))
	}
	return float64(s.Scale)
}
