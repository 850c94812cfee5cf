package kernel

// AttentionScratch returns the scratch elements that [Attention] needs.
func AttentionScratch(threads int, s AttentionSpec) int { return 0 }

// Attention computes what s describes. scratch must hold AttentionScratch elements;
// nil lets it allocate. dst may be q only if their strides agree.
func Attention(p *Pool, scratch, dst, q, k, v []float32, s AttentionSpec) {
	p.Run(s.Batch*s.Heads, func(_, i int) {
		b, h := i/s.Heads, i%s.Heads
		one := s
		one.Batch, one.Heads = 1, 1
		if s.Mask != nil {
			one.Mask = s.Mask[b*s.MaskStride[0]+h*s.MaskStride[1]:]
		}
		at := func(x []float32, st [3]int) []float32 { return x[b*st[0]+h*st[1]:] }
		attentionRef(at(dst, s.OStride), at(q, s.QStride), at(k, s.KStride), at(v, s.VStride), one)
	})
}
