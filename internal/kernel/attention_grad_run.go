package kernel

import "math"

// attentionGradTask computes the gradients of a few panels of tokens (the lanes) by taking them past all tokens of the
// other side (the rows), block by block.
type attentionGradTask struct {
	plan        *attentionGradPlan
	head        int
	byKeys      bool // lanes are keys
	from        int  // first lane token
	lanes, rows *attentionSide
	panels      []attentionGradPanel
	score, dp   []float32 // [keyBlock × nr]
}

// attentionGradPanel is a panel of lane tokens: right operands [D+1 × nr] and [Dv+1 × nr], and the sums
// [D × nr] over dS, [Dv × nr] over P.
type attentionGradPanel struct {
	at, n      int
	s, d       []float32
	outS, outD []float32
}

func (t *attentionGradTask) run(work []float32, g *AttentionGrad) {
	a := t.plan
	t.score, t.dp = carve(&work, a.nr*keyBlock), carve(&work, a.nr*keyBlock)
	for at := t.from; at < min(t.lanes.tokens, t.from+gradPanels*a.nr); at += a.nr {
		p := attentionGradPanel{at: at, n: min(a.nr, t.lanes.tokens-at)}
		p.s, p.d = carve(&work, a.nr*(a.D+1)), carve(&work, a.nr*(a.Dv+1))
		p.outS, p.outD = carve(&work, a.nr*a.D), carve(&work, a.nr*a.Dv)
		t.lanes.packPanel(a.level, p.s, a.nr, t.lanes.s, a.D, at, t.lanes.scale, t.lanes.extraS)
		t.lanes.packPanel(a.level, p.d, a.nr, t.lanes.d, a.Dv, at, 1, t.lanes.extraD)
		clear(p.outS)
		clear(p.outD)
		t.panels = append(t.panels, p)
	}
	for r0 := 0; r0 < t.rows.tokens; r0 += keyBlock {
		for i := range t.panels {
			t.block(&t.panels[i], r0, min(keyBlock, t.rows.tokens-r0), g)
		}
	}
	for i := range t.panels {
		t.store(&t.panels[i], g)
	}
}

// hidden reports whether causality closes a whole block.
func (t *attentionGradTask) hidden(p *attentionGradPanel, r0, rb int) bool {
	if !t.plan.Causal {
		return false
	}
	if t.byKeys {
		return p.at > r0+rb-1
	}
	return r0 > p.at+p.n-1
}

// block takes rb rows from r0 on into the sums of a panel.
func (t *attentionGradTask) block(p *attentionGradPanel, r0, rb int, g *AttentionGrad) {
	if t.hidden(p, r0, rb) {
		return
	}
	a, rows := t.plan, t.rows
	score, dp := t.score[:rb*a.nr], t.dp[:rb*a.nr]
	a.level.gemmPanel(a.D+1, rows.rowS[r0*(a.D+1):], (a.D+1)*a.mr, p.s, score, a.nr, rb, a.nr, false)
	t.mask(p, r0, rb)
	Exp(score, score)
	if t.byKeys && g.DV != nil {
		a.level.gemmPanel(rb, rows.colD[r0*a.mr:], rows.tokens*a.mr, score, p.outD, a.nr, a.Dv, a.nr, true)
	}
	if t.byKeys && g.DK == nil {
		return
	}
	a.level.gemmPanel(a.Dv+1, rows.rowD[r0*(a.Dv+1):], (a.Dv+1)*a.mr, p.d, dp, a.nr, rb, a.nr, false)
	Mul(dp, dp, score)
	a.level.gemmPanel(rb, rows.colS[r0*a.mr:], rows.tokens*a.mr, dp, p.outS, a.nr, a.D, a.nr, true)
}

// mask applies mask and causality to a block of scores.
func (t *attentionGradTask) mask(p *attentionGradPanel, r0, rb int) {
	a := t.plan
	if a.Mask != nil {
		at := a.offset(a.MaskStride, t.head)
		query, key := a.MaskStride[2], 1
		lane, row := query, key
		if t.byKeys {
			lane, row = key, query
		}
		for j := range rb {
			for i := range p.n {
				t.score[j*a.nr+i] += a.Mask[at+(r0+j)*row+(p.at+i)*lane]
			}
		}
	}
	if !a.Causal {
		return
	}
	closed := float32(math.Inf(-1))
	for j := range rb {
		for i := range p.n {
			if (t.byKeys && p.at+i > r0+j) || (!t.byKeys && r0+j > p.at+i) {
				t.score[j*a.nr+i] = closed
			}
		}
	}
}

// store writes the sums of a panel to the results.
func (t *attentionGradTask) store(p *attentionGradPanel, g *AttentionGrad) {
	a := t.plan
	put := func(dst []float32, stride [3]int, tile []float32, width int) {
		if dst != nil {
			at := a.offset(stride, t.head) + p.at*stride[2]
			a.level.transpose2D(dst[at:], stride[2], tile, a.nr, width, p.n)
		}
	}
	if t.byKeys {
		put(g.DK, a.KStride, p.outS, a.D)
		put(g.DV, a.VStride, p.outD, a.Dv)
		return
	}
	MulScalar(p.outS, p.outS, a.scale)
	put(g.DQ, a.QStride, p.outS, a.D)
}
