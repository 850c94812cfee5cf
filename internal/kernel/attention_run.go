package kernel

import "math"

// attentionTask is one panel of queries of one head. Everything is held transposed,
// one query a lane: scores are [keys × queries], which is the packed form of the right
// operand of the second product, and the softmax needs no sums across lanes.
type attentionTask struct {
	plan              *attentionPlan
	head, q0, n       int // queries q0…q0+n
	keys, values      []float32
	query, score, out []float32 // [D × nr], [keyBlock × nr], [Dv × nr]
	top, sum, shrink  []float32 // per query: running maximum, sum, factor of the block before
}

// run computes the panel.
func (t *attentionTask) run(work, dst, q []float32) {
	a := t.plan
	t.query, t.score = carve(&work, a.nr*a.D), carve(&work, a.nr*min(keyBlock, a.Sk))
	t.out = carve(&work, a.nr*a.Dv)
	t.top, t.sum, t.shrink = carve(&work, a.nr)[:a.nr], carve(&work, a.nr)[:a.nr], carve(&work, a.nr)[:a.nr]
	rows := RowMajor(q[a.offset(a.QStride, t.head):], a.QStride[2])
	a.level.packPanel(t.query, a.nr, rows, t.q0, t.n, 0, a.D)
	MulScalar(t.query, t.query, a.scale)
	for i := range t.top {
		t.top[i], t.sum[i] = -math.MaxFloat32, 0
	}
	clear(t.out)
	keys := a.Sk
	if a.Causal {
		keys = min(keys, t.q0+t.n)
	}
	for k0 := 0; k0 < keys; k0 += keyBlock {
		t.block(k0, min(keyBlock, keys-k0))
	}
	for i, s := range t.sum {
		t.shrink[i] = 1 / s
	}
	a.level.scaleTile(t.out, a.Dv, a.nr, t.shrink)
	at := a.offset(a.OStride, t.head) + t.q0*a.OStride[2]
	a.level.transpose2D(dst[at:], a.OStride[2], t.out, a.nr, a.Dv, t.n)
}

// sums writes the logarithm of the sum of exponentials of the panel's queries.
func (t *attentionTask) sums(lse []float32) {
	for i := range t.n {
		lse[i] = float32(float64(t.top[i]) + math.Log(float64(t.sum[i])))
	}
}

// block takes kb keys from k0 on into the running result.
func (t *attentionTask) block(k0, kb int) {
	a := t.plan
	a.level.gemmPanel(a.D, t.keys[k0*a.D:], a.D*a.mr, t.query, t.score, a.nr, kb, a.nr, false)
	if a.Mask != nil {
		t.mask(k0, kb)
	}
	if a.Causal && k0+kb > t.q0+1 {
		for j := range kb {
			for i := range min(t.n, max(0, k0+j-t.q0)) {
				t.score[j*a.nr+i] = float32(math.Inf(-1))
			}
		}
	}
	a.level.softmaxTile(t.score, kb, a.nr, t.top, t.sum, t.shrink)
	if k0 > 0 {
		a.level.scaleTile(t.out, a.Dv, a.nr, t.shrink)
	}
	a.level.gemmPanel(kb, t.values[k0*a.mr:], a.Sk*a.mr, t.score, t.out, a.nr, a.Dv, a.nr, k0 > 0)
}

// mask adds the mask to a block of scores; a mask that is the same for all queries
// adds one number a row.
func (t *attentionTask) mask(k0, kb int) {
	a := t.plan
	at := a.offset(a.MaskStride, t.head) + t.q0*a.MaskStride[2] + k0
	if a.MaskStride[2] == 0 {
		for j, m := range a.Mask[at:][:kb] {
			if m != 0 {
				row := t.score[j*a.nr:][:a.nr]
				AddScalar(row, row, m)
			}
		}
		return
	}
	for i := range t.n {
		for j, m := range a.Mask[at+i*a.MaskStride[2]:][:kb] {
			t.score[j*a.nr+i] += m
		}
	}
}

// softmaxTileRef takes a tile of scores, one query a column, into a running softmax:
//
//	new top    = max(top, scores of the column)
//	scores     = exp(scores - new top)
//	shrink     = exp(top - new top)
//	new sum    = sum·shrink + Σ scores
//
// top starts at the smallest finite number, so columns of -Inf give 0 and not NaN.
func softmaxTileRef(s []float32, rows, nr int, top, sum, shrink []float32) {
	for i := range nr {
		m, total := top[i], float32(0)
		for j := range rows {
			if v := s[j*nr+i]; v > m {
				m = v
			}
		}
		for j := range rows {
			e := float32(math.Exp(float64(s[j*nr+i] - m)))
			s[j*nr+i] = e
			total += e
		}
		shrink[i] = float32(math.Exp(float64(top[i] - m)))
		sum[i] = sum[i]*shrink[i] + total
		top[i] = m
	}
}

// scaleTileRef multiplies every row of a tile by f.
func scaleTileRef(s []float32, rows, nr int, f []float32) {
	for j := range rows {
		for i, v := range f[:nr] {
			s[j*nr+i] *= v
		}
	}
}
