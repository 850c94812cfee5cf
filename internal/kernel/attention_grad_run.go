package kernel

import "math"

// attentionGradTask computes the gradients of a panel of tokens (the lanes) by taking it past all tokens of the other side
// (the rows), block by block.
type attentionGradTask struct {
	plan        *attentionGradPlan
	head        int
	byKeys      bool // lanes are keys
	at, n       int  // lane tokens at…at+n
	lanes, rows *attentionSide
	s, d        []float32 // right operands [D+1 × nr] and [Dv+1 × nr]
	outS, outD  []float32 // sums [D × nr] over dS and [Dv × nr] over P
	score, dp   []float32 // [keyBlock × nr]
}

func (t *attentionGradTask) run(work []float32, g *AttentionGrad) {
	a := t.plan
	t.n = min(a.nr, t.lanes.tokens-t.at)
	t.score, t.dp = carve(&work, a.nr*keyBlock), carve(&work, a.nr*keyBlock)
	t.s, t.d = carve(&work, a.nr*(a.D+1)), carve(&work, a.nr*(a.Dv+1))
	t.outS, t.outD = carve(&work, a.nr*a.D), carve(&work, a.nr*a.Dv)
	t.lanes.packPanel(a.level, t.s, a.nr, t.lanes.s, a.D, t.at, t.lanes.scale, t.lanes.extraS)
	t.lanes.packPanel(a.level, t.d, a.nr, t.lanes.d, a.Dv, t.at, 1, t.lanes.extraD)
	clear(t.outS)
	clear(t.outD)
	for r0 := 0; r0 < t.rows.tokens; r0 += keyBlock {
		t.block(r0, min(keyBlock, t.rows.tokens-r0), g)
	}
	t.store(g)
}

// hidden reports whether causality closes a whole block.
func (t *attentionGradTask) hidden(r0, rb int) bool {
	if !t.plan.Causal {
		return false
	}
	if t.byKeys {
		return t.at > r0+rb-1
	}
	return r0 > t.at+t.n-1
}

// block takes rb rows from r0 on into the sums of a panel.
func (t *attentionGradTask) block(r0, rb int, g *AttentionGrad) {
	if t.hidden(r0, rb) {
		return
	}
	a, rows := t.plan, t.rows
	score, dp := t.score[:rb*a.nr], t.dp[:rb*a.nr]
	a.level.gemmPanel(a.D+1, rows.rowS[r0*(a.D+1):], (a.D+1)*a.mr, t.s, score, a.nr, rb, a.nr, false)
	t.mask(r0, rb)
	Exp(score, score)
	if t.byKeys && g.DV != nil {
		a.level.gemmPanel(rb, rows.colD[r0*a.mr:], rows.tokens*a.mr, score, t.outD, a.nr, a.Dv, a.nr, true)
	}
	if t.byKeys && g.DK == nil {
		return
	}
	a.level.gemmPanel(a.Dv+1, rows.rowD[r0*(a.Dv+1):], (a.Dv+1)*a.mr, t.d, dp, a.nr, rb, a.nr, false)
	Mul(dp, dp, score)
	a.level.gemmPanel(rb, rows.colS[r0*a.mr:], rows.tokens*a.mr, dp, t.outS, a.nr, a.D, a.nr, true)
}

// mask applies mask and causality to a block of scores.
func (t *attentionGradTask) mask(r0, rb int) {
	a := t.plan
	if a.Mask != nil {
		at := a.offset(a.MaskStride, t.head)
		query, key := a.MaskStride[2], 1
		lane, row := query, key
		if t.byKeys {
			lane, row = key, query
		}
		for j := range rb {
			for i := range t.n {
				t.score[j*a.nr+i] += a.Mask[at+(r0+j)*row+(t.at+i)*lane]
			}
		}
	}
	if !a.Causal {
		return
	}
	closed := float32(math.Inf(-1))
	for j := range rb {
		for i := range t.n {
			if (t.byKeys && t.at+i > r0+j) || (!t.byKeys && r0+j > t.at+i) {
				t.score[j*a.nr+i] = closed
			}
		}
	}
}

// store writes the sums of a panel to the results.
func (t *attentionGradTask) store(g *AttentionGrad) {
	a := t.plan
	put := func(dst []float32, stride [3]int, tile []float32, width int) {
		if dst != nil {
			at := a.offset(stride, t.head) + t.at*stride[2]
			a.level.transpose2D(dst[at:], stride[2], tile, a.nr, width, t.n)
		}
	}
	if t.byKeys {
		put(g.DK, a.KStride, t.outS, a.D)
		put(g.DV, a.VStride, t.outD, a.Dv)
		return
	}
	MulScalar(t.outS, t.outS, a.scale)
	put(g.DQ, a.QStride, t.outS, a.D)
}
