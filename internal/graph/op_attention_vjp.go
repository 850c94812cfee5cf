package graph

import (
	"math"

	"winnow/internal/tensor"
)

// plainAttention is attention to be taken back through in ordinary operators, over the whole score matrix. Operands are
// [B, H, S, D]; mask is additive, None without one; seen holds 0 for scores that count as none at all and 1 otherwise, None
// for ones.
type plainAttention struct {
	q, k, v, g ValueID
	mask, seen ValueID
	causal     bool
	scale      float64 // 0 means 1/√D
}

// gradients are those of q, k, v and mask, the last with the shape of the scores.
func (a *plainAttention) gradients(b *Backward) (dq, dk, dv, dmask ValueID) {
	if b.err != nil {
		return None, None, None, None
	}
	scale := a.scale
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(b.Shape(a.q)[3]))
	}
	scores := b.Scale(b.Op("MatMul", a.q, b.TransposeLast(a.k)), scale)
	if a.mask != None {
		scores = b.Op("Add", scores, a.mask)
	}
	if a.causal {
		scores = b.Op("Add", scores, b.constLike(futureMask(b.Shape(a.q)[2], b.Shape(a.k)[2])))
	}
	p := b.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, scores)
	if a.seen != None {
		p = b.Op("Mul", p, a.seen)
	}
	dp := b.Op("MatMul", a.g, b.TransposeLast(a.v))
	ds := b.Op("Mul", p, b.Op("Sub", dp, b.ReduceSum(b.Op("Mul", p, dp), true, 3)))
	dq = b.Scale(b.Op("MatMul", ds, a.k), scale)
	dk = b.Scale(b.Op("MatMul", b.TransposeLast(ds), a.q), scale)
	dv = b.Op("MatMul", b.TransposeLast(p), a.g)
	return dq, dk, dv, ds
}

// attentionVJP covers attention with a mask, causality and grouped heads; the cache and the outputs beside Y are for
// generating text token by token, where nothing is differentiated.
func attentionVJP(b *Backward) error {
	p, kvHeads, err := onnxAttention(b.NodeCtx)
	if err != nil {
		return err
	}
	if b.X(4) != None || b.X(5) != None || b.X(6) != None || b.AttrFloat("softcap", 0) != 0 {
		return b.Refuse("", "the gradient of attention with a key/value cache, padded lengths or soft capping is not implemented")
	}
	for i := 1; i < len(b.Out); i++ {
		if b.G(i) != None {
			return b.Refuse("", "the gradient through outputs beside Y is not implemented")
		}
	}
	heads, three := p.spec.Heads, len(b.In[0].Shape) == 3
	a := plainAttention{
		q: b.splitHeads(b.X(0), heads, three), g: b.splitHeads(b.G(0), heads, three), mask: b.X(3), seen: None,
		k:      b.groupHeads(b.splitHeads(b.X(1), kvHeads, three), heads),
		v:      b.groupHeads(b.splitHeads(b.X(2), kvHeads, three), heads),
		causal: p.spec.Causal, scale: float64(p.spec.Scale),
	}
	if a.mask != None && b.In[3].DType == tensor.Bool {
		a.seen = b.indicator(b.X(3))
		a.mask = b.where(b.X(3), b.num(0), b.num(-1e30))
	}
	dq, dk, dv, dmask := a.gradients(b)
	b.Give(0, b.joinHeads(dq, three))
	b.Give(1, b.joinHeads(b.sumHeads(dk, kvHeads), three))
	b.Give(2, b.joinHeads(b.sumHeads(dv, kvHeads), three))
	if b.Needs(3) {
		b.Give(3, dmask)
	}
	return nil
}

// splitHeads brings [B, S, H·D] to [B, H, S, D] when apply is set.
func (b *Backward) splitHeads(x ValueID, heads int, apply bool) ValueID {
	if !apply || b.err != nil {
		return x
	}
	s := b.Shape(x)
	return b.Transpose(b.Reshape(x, s[0], s[1], heads, s[2]/heads), 0, 2, 1, 3)
}

// joinHeads undoes splitHeads.
func (b *Backward) joinHeads(x ValueID, apply bool) ValueID {
	if !apply || b.err != nil {
		return x
	}
	s := b.Shape(x)
	return b.Reshape(b.Transpose(x, 0, 2, 1, 3), s[0], s[2], s[1]*s[3])
}

// groupHeads repeats every head of [B, H, S, D] for its group of query heads.
func (b *Backward) groupHeads(x ValueID, heads int) ValueID {
	if b.err != nil || b.Shape(x)[1] == heads {
		return x
	}
	s := b.Shape(x)
	wide := b.Expand(b.Reshape(x, s[0], s[1], 1, s[2], s[3]), s[0], s[1], heads/s[1], s[2], s[3])
	return b.Reshape(wide, s[0], heads, s[2], s[3])
}

// sumHeads undoes groupHeads: it adds the heads of every group up.
func (b *Backward) sumHeads(x ValueID, heads int) ValueID {
	if b.err != nil || b.Shape(x)[1] == heads {
		return x
	}
	s := b.Shape(x)
	return b.ReduceSum(b.Reshape(x, s[0], heads, s[1]/heads, s[2], s[3]), false, 2)
}
