package kernel

// AttentionGrad holds the operands of [AttentionBackward]. O, LSE and DO belong to the forward pass: its output, the
// logarithm of each query's sum of exponentials (see [AttentionSum]) and the cotangent of the output, laid out as O. DQ,
// DK and DV are laid out as Q, K and V; a nil one is not computed.
type AttentionGrad struct {
	Q, K, V, O, DO []float32
	LSE            []float32 // [Batch, Heads, Sq]
	DQ, DK, DV     []float32
}

// attentionSide is one side of the score matrix, packed for the products of a head: queries with their cotangents, or
// keys with values. Both sides get one more number a token, by which a product subtracts a constant from its rows or
// columns: queries carry −LSE and −Σ O·DO against the keys' and values' 1.
type attentionSide struct {
	tokens     int
	rowS, rowD []float32 // left operands [tokens × D+1], [tokens × Dv+1]
	colS, colD []float32 // left operands [D × tokens], [Dv × tokens]
	s, d       Mat       // [tokens × D] and [tokens × Dv] as the caller has them
	scale      float32   // factor of s
	extraS     []float32 // per token; nil: 1
	extraD     []float32
}

// attentionGradPlan says how the work is cut: a few heads are packed at a time, then the panels of either side are tasks. Lanes are queries for DQ, and keys for DK and DV: the same loop with the sides exchanged. The scores are
// computed twice, which costs less than adding up one of the results in memory, and keeps every sum in one task.
type attentionGradPlan struct {
	AttentionSpec
	level  level
	mr, nr int
	scale  float32
	heads  int // heads packed at a time
	size   int // numbers packed for one head
	work   int // numbers one worker needs
}

func planAttentionGrad(l level, s AttentionSpec) attentionGradPlan {
	a := attentionGradPlan{AttentionSpec: s, level: l, scale: float32(s.scale())}
	a.mr, a.nr = l.geometry()
	a.size = a.sideSize(s.Sq) + a.sideSize(s.Sk) + 2*roundUp(s.Sq, 16)
	a.heads = min(s.Batch*s.Heads, max(1, 2*headsPacked/max(a.size, 1)))
	a.work = 2*(roundUp(a.nr*(s.D+1), 16)+roundUp(a.nr*(s.Dv+1), 16)) + 2*roundUp(a.nr*keyBlock, 16)
	return a
}

func (a *attentionGradPlan) sideSize(tokens int) int {
	n := 0
	for _, w := range []int{a.D, a.Dv} {
		n += roundUp(roundUp(tokens, a.mr)*(w+1), 16) + roundUp(roundUp(w, a.mr)*tokens, 16)
	}
	return n
}

func (a *attentionGradPlan) total(threads int) int { return a.heads*a.size + threads*a.work }

// AttentionBackwardScratch returns the scratch elements that [AttentionBackward] needs on a pool of the given threads,
// for any implementation.
func AttentionBackwardScratch(threads int, s AttentionSpec) int {
	most := 0
	for l := levelRef; l <= bestLevel(); l++ {
		a := planAttentionGrad(l, s)
		most = max(most, a.total(threads))
	}
	return most + alignSlack
}

// AttentionBackward computes the gradient of [Attention] without ever holding the score matrix. With P the softmax and
// δ the row sums of O·DO:
//
//	dP = DO·Vᵀ,  dS = P∘(dP − δ),  DV = Pᵀ·DO,  DQ = Scale·dS·K,  DK = Scale·dSᵀ·Q
//
// (Dao et al. 2022, FlashAttention, algorithm 4). No result may overlap an operand. scratch must hold
// AttentionBackwardScratch elements; nil lets it allocate.
func AttentionBackward(p *Pool, scratch []float32, s AttentionSpec, g AttentionGrad) {
	s.check(g.O, g.Q, g.K, g.V)
	s.check(g.DO, g.Q, g.K, g.V)
	need("attention sums", len(g.LSE), s.Batch*s.Heads*s.Sq)
	a := planAttentionGrad(selected, s)
	scratch = aligned(scratch, a.total(p.Threads()))
	packed := carve(&scratch, a.heads*a.size)
	all := s.Batch * s.Heads
	queryTasks, keyTasks := ceilDiv(s.Sq, a.nr), ceilDiv(s.Sk, a.nr)
	if g.DQ == nil {
		queryTasks = 0
	}
	if g.DK == nil && g.DV == nil {
		keyTasks = 0
	}
	for h0 := 0; h0 < all; h0 += a.heads {
		n := min(a.heads, all-h0)
		heads := make([]attentionGradHead, n)
		p.Run(2*n, func(_, i int) { heads[i/2].pack(&a, packed[i/2*a.size:][:a.size], &g, h0+i/2, i%2 == 0) })
		p.Run(n*(queryTasks+keyTasks), func(worker, i int) {
			head, task := &heads[i/(queryTasks+keyTasks)], i%(queryTasks+keyTasks)
			t := attentionGradTask{plan: &a, head: h0 + i/(queryTasks+keyTasks), byKeys: task >= queryTasks}
			t.lanes, t.rows = &head.queries, &head.keys
			if t.byKeys {
				task -= queryTasks
				t.lanes, t.rows = t.rows, t.lanes
			}
			t.at = task * a.nr
			t.run(scratch[worker*a.work:][:a.work], &g)
		})
	}
}

// attentionGradHead is one head packed.
type attentionGradHead struct{ queries, keys attentionSide }

// pack packs one side of a head.
func (h *attentionGradHead) pack(a *attentionGradPlan, dst []float32, g *AttentionGrad, head int, queries bool) {
	side := attentionSide{scale: 1, tokens: a.Sk}
	if !queries {
		dst = dst[len(dst)-a.sideSize(a.Sk):]
		side.s = RowMajor(g.K[a.offset(a.KStride, head):], a.KStride[2])
		side.d = RowMajor(g.V[a.offset(a.VStride, head):], a.VStride[2])
		h.keys = side
		h.keys.pack(a, dst)
		return
	}
	side.scale, side.tokens = a.scale, a.Sq
	side.s = RowMajor(g.Q[a.offset(a.QStride, head):], a.QStride[2])
	side.d = RowMajor(g.DO[a.offset(a.OStride, head):], a.OStride[2])
	side.extraS, side.extraD = carve(&dst, a.Sq)[:a.Sq], carve(&dst, a.Sq)[:a.Sq]
	out := g.O[a.offset(a.OStride, head):]
	for i := range a.Sq {
		side.extraS[i] = -g.LSE[head*a.Sq+i]
		_, sum := dots(out[i*a.OStride[2]:][:a.Dv], side.d.Data[i*a.OStride[2]:])
		side.extraD[i] = float32(-sum)
	}
	h.queries = side
	h.queries.pack(a, dst)
}

// pack writes the packed forms of a side. Only queries are summed over with P, for DV.
func (s *attentionSide) pack(a *attentionGradPlan, dst []float32) {
	s.rowS = s.packRows(a, &dst, s.s, a.D, s.scale, s.extraS)
	s.rowD = s.packRows(a, &dst, s.d, a.Dv, 1, s.extraD)
	s.colS = s.packColumns(a, &dst, s.s, a.D, s.scale)
	if s.extraD != nil {
		s.colD = s.packColumns(a, &dst, s.d, a.Dv, 1)
	}
}

// packRows packs the tokens as rows of a left operand, with the extra number behind the channels.
func (s *attentionSide) packRows(a *attentionGradPlan, dst *[]float32, m Mat, width int, scale float32, extra []float32) []float32 {
	out := carve(dst, roundUp(s.tokens, a.mr)*(width+1))
	for i := 0; i < s.tokens; i += a.mr {
		s.packPanel(a.level, out[i*(width+1):], a.mr, m, width, i, scale, extra)
	}
	return out
}

// packPanel packs a panel of tokens of any width: channels scaled, then the extra number.
func (s *attentionSide) packPanel(l level, dst []float32, size int, m Mat, width, i int, scale float32, extra []float32) {
	n := min(size, s.tokens-i)
	l.packPanel(dst, size, m, i, n, 0, width)
	if scale != 1 {
		MulScalar(dst[:size*width], dst[:size*width], scale)
	}
	last := dst[size*width:][:size]
	clear(last)
	if extra != nil {
		copy(last, extra[i:i+n])
		return
	}
	for j := range n {
		last[j] = 1
	}
}

// packColumns packs the channels as rows of a left operand whose inner dimension are the tokens.
func (s *attentionSide) packColumns(a *attentionGradPlan, dst *[]float32, m Mat, width int, scale float32) []float32 {
	out := carve(dst, roundUp(width, a.mr)*s.tokens)
	for i := 0; i < width; i += a.mr {
		a.level.packPanel(out[i*s.tokens:], a.mr, m.Transposed(), i, min(a.mr, width-i), 0, s.tokens)
	}
	if scale != 1 {
		all := out[:roundUp(width, a.mr)*s.tokens]
		MulScalar(all, all, scale)
	}
	return out
}
