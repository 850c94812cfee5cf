package kernel

// attentionBackwardRef computes the gradients by definition in float64, one query at a time; dq, dk and dv must be zero.
// It does not use the forward pass's output or sums.
func attentionBackwardRef(dq, dk, dv []float64, q, k, v, do []float32, s AttentionSpec) {
	p, dp := make([]float64, s.Sk), make([]float64, s.Sk)
	for b := range s.Batch {
		for h := range s.Heads {
			at := func(st [3]int, t int) int { return b*st[0] + h*st[1] + t*st[2] }
			for i := range s.Sq {
				attentionScoresRef(p, q[at(s.QStride, i):], k[at(s.KStride, 0):], s, i, at(s.MaskStride, i))
				delta, cot := 0.0, do[at(s.OStride, i):][:s.Dv]
				for j := range p {
					dp[j] = 0
					for c, x := range cot {
						dp[j] += float64(x) * float64(v[at(s.VStride, j)+c])
						dv[at(s.VStride, j)+c] += p[j] * float64(x)
					}
					delta += p[j] * dp[j]
				}
				for j := range p {
					ds := p[j] * (dp[j] - delta) * s.scale()
					for c := range s.D {
						dq[at(s.QStride, i)+c] += ds * float64(k[at(s.KStride, j)+c])
						dk[at(s.KStride, j)+c] += ds * float64(q[at(s.QStride, i)+c])
					}
				}
			}
		}
	}
}
