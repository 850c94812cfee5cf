package kernel

// AttentionSpec describes scaled dot-product attention
//
//	O = softmax(Scale·Q·Kᵀ + Mask)·V
//
// for every batch and head. Strides are in elements, for batch, head and token
// (or query, for the mask); channels and the keys of the mask are contiguous.
type AttentionSpec struct {
	Batch, Heads, Sq, Sk, D, Dv        int
	QStride, KStride, VStride, OStride [3]int
	Scale                              float32   // 0 means 1/√D
	Mask                               []float32 // added to the scores, or nil; may hold -Inf
	MaskStride                         [3]int    // 0 broadcasts
	Causal                             bool      // query i sees the keys 0…i only
}

const (
	keyBlock    = 192     // keys whose scores against one panel of queries are held at a time
	fewKeys     = 1 << 15 // numbers of packed keys and values of a head that leave room for those of others
	headsPacked = 1 << 21 // numbers of packed keys and values held at a time, at least one head
)

// attentionPlan says how the work is cut: the keys and values of a few heads are
// packed once, then every panel of queries of these heads is a task.
type attentionPlan struct {
	AttentionSpec
	level        level
	mr, nr       int
	kSize, vSize int // packed keys and values of one head
	heads        int // heads packed at a time
	panels       int // panels of queries of one head
	work         int // numbers one worker needs
	scale        float32
}

func planAttention(l level, s AttentionSpec) attentionPlan {
	a := attentionPlan{AttentionSpec: s, level: l, scale: float32(s.scale())}
	a.mr, a.nr = l.geometry()
	a.kSize = roundUp(roundUp(s.Sk, a.mr)*s.D, 16)
	a.vSize = roundUp(roundUp(s.Dv, a.mr)*s.Sk, 16)
	a.heads = min(s.Batch*s.Heads, max(1, headsPacked/max(a.kSize+a.vSize, 1)))
	if a.heads > s.Heads {
		a.heads = a.heads / s.Heads * s.Heads
	}
	a.panels = ceilDiv(s.Sq, a.nr)
	a.work = roundUp(a.nr*s.D, 16) + roundUp(a.nr*min(keyBlock, s.Sk), 16) + roundUp(a.nr*s.Dv, 16) + 3*roundUp(a.nr, 16)
	return a
}

func (a *attentionPlan) total(threads int) int { return a.heads*(a.kSize+a.vSize) + threads*a.work }

// AttentionScratch returns the scratch elements that [Attention] needs on a pool of the
// given threads, for any implementation.
func AttentionScratch(threads int, s AttentionSpec) int {
	most := 0
	for l := levelRef; l <= bestLevel(); l++ {
		a := planAttention(l, s)
		most = max(most, a.total(threads))
	}
	return most + alignSlack
}

// Attention computes what s describes without ever holding the score matrix: blocks of
// keys stream past panels of queries with a running maximum and sum. dst must not
// overlap an operand. scratch must hold AttentionScratch elements; nil lets it allocate.
//
// A query whose mask excludes every key by -Inf gives NaN, as the definition does.
func Attention(p *Pool, scratch, dst, q, k, v []float32, s AttentionSpec) {
	AttentionSum(p, scratch, dst, nil, q, k, v, s)
}

// AttentionSum is [Attention] and also writes, for [AttentionBackward], the logarithm of the sum of the exponentials of
// each query's scores to lse, [Batch, Heads, Sq], unless that is nil.
func AttentionSum(p *Pool, scratch, dst, lse, q, k, v []float32, s AttentionSpec) {
	s.check(dst, q, k, v)
	if lse != nil {
		need("attention sums", len(lse), s.Batch*s.Heads*s.Sq)
	}
	a := planAttention(selected, s)
	scratch = aligned(scratch, a.total(p.Threads()))
	packed := carve(&scratch, a.heads*(a.kSize+a.vSize))
	all := s.Batch * s.Heads
	for h0 := 0; h0 < all && s.Sq > 0; h0 += a.heads {
		n := min(a.heads, all-h0)
		p.Run(2*n, func(_, i int) { a.packHead(packed[i/2*(a.kSize+a.vSize):], k, v, h0+i/2, i%2 == 0) })
		p.Run(n*a.panels, func(worker, i int) {
			head, panel := a.order(i, n)
			t := attentionTask{plan: &a, head: h0 + head, q0: panel * a.nr}
			t.n = min(a.nr, s.Sq-t.q0)
			t.keys = packed[head*(a.kSize+a.vSize):][:a.kSize]
			t.values = packed[head*(a.kSize+a.vSize)+a.kSize:][:a.vSize]
			t.run(scratch[worker*a.work:][:a.work], dst, q)
			if lse != nil {
				t.sums(lse[t.head*s.Sq+t.q0:])
			}
		})
	}
}

// order says which head and panel the i-th task of n heads is. Few keys: all heads of
// a panel in turn, because their queries are neighbours in memory. Many keys: all
// panels of a head in turn, because its keys and values fill the second-level cache.
func (a *attentionPlan) order(i, n int) (head, panel int) {
	together := min(n, a.Heads)
	if a.kSize+a.vSize > fewKeys || n%together != 0 {
		return i / a.panels, i % a.panels
	}
	batch, rest := i/(a.panels*together), i%(a.panels*together)
	return batch*together + rest%together, rest / together
}

// check panics unless every operand reaches as far as the strides say.
func (s *AttentionSpec) check(dst, q, k, v []float32) {
	reach := func(st [3]int, tokens, width int) int {
		if s.Batch*s.Heads*tokens*width == 0 {
			return 0
		}
		return (s.Batch-1)*st[0] + (s.Heads-1)*st[1] + (tokens-1)*st[2] + width
	}
	need("attention queries", len(q), reach(s.QStride, s.Sq, s.D))
	need("attention keys", len(k), reach(s.KStride, s.Sk, s.D))
	need("attention values", len(v), reach(s.VStride, s.Sk, s.Dv))
	need("attention output", len(dst), reach(s.OStride, s.Sq, s.Dv))
	if s.Mask != nil {
		need("attention mask", len(s.Mask), reach(s.MaskStride, s.Sq, s.Sk))
	}
}

// offset is where a head starts in an operand with strides st.
func (s *AttentionSpec) offset(st [3]int, head int) int {
	return head/s.Heads*st[0] + head%s.Heads*st[1]
}

// packHead packs the keys of a head as rows of a left operand, or its values as the
// left operand with one row a channel.
func (a *attentionPlan) packHead(dst, k, v []float32, head int, keys bool) {
	m, rows, depth := Mat{Data: v[a.offset(a.VStride, head):], RS: 1, CS: a.VStride[2]}, a.Dv, a.Sk
	if keys {
		m, rows, depth = RowMajor(k[a.offset(a.KStride, head):], a.KStride[2]), a.Sk, a.D
	} else {
		dst = dst[a.kSize:]
	}
	for i := 0; i < rows; i += a.mr {
		a.level.packPanel(dst[i*depth:], a.mr, m, i, min(a.mr, rows-i), 0, depth)
	}
}
