package graph

import (
	"math"

	"winnow/internal/tensor"
)

// msAttention is the part that ONNX Runtime's attention operators share: per head, softmax(scale·q·kᵀ + mask)·v, with keys
// and values of earlier tokens (past) in front.
type msAttention struct {
	q            ValueID // [B,S,N·D]
	k, v         ValueID // [B,L,N·D], or [B,N,L,D] when headed
	pastK, pastV ValueID // [B,N,P,D], None without past
	headed       bool
	batch, heads int
	kvHeads      int     // of keys and values, 0: as many as of queries; neighbouring query heads share one
	sq, sk       int     // query tokens; key tokens besides past
	past         int     // key tokens of past
	d, dv        int     // channels of a head in q and k, in v
	mask         ValueID // additive, broadcasts to [B,N,S,P+L]; None: all keys are seen
}

// headsOfKeys is the number of heads of keys and values.
func (a *msAttention) headsOfKeys() int {
	if a.kvHeads > 0 {
		return a.kvHeads
	}
	return a.heads
}

// total is the number of keys.
func (a *msAttention) total() int { return a.past + a.sk }

// attend returns the result [B,S,N·Dv] and the keys and values as [B,N,P+L,D], which are what later calls get as past.
func (l *Lowering) attend(a *msAttention) (y, keys, values ValueID) {
	scale, mask := l.AttrFloat("scale", 0), a.mask
	if l.AttrInt("unidirectional", 0) != 0 {
		mask = l.AddAll(mask, l.causalMask(a))
	}
	keys, values = a.k, a.v
	if !a.headed {
		n := a.headsOfKeys()
		keys, values = l.splitHeads(a.k, a.batch, a.sk, n, a.d), l.splitHeads(a.v, a.batch, a.sk, n, a.dv)
	}
	if a.pastK != None {
		axis := map[string]Attr{"axis": IntAttr(2)}
		keys, values = l.OpA("Concat", axis, a.pastK, keys), l.OpA("Concat", axis, a.pastV, values)
	}
	y = l.dotAttention(l.splitHeads(a.q, a.batch, a.sq, a.heads, a.d), keys, values, mask, scale)
	return l.Reshape(l.Transpose(y, 0, 2, 1, 3), a.batch, a.sq, a.heads*a.dv), keys, values
}

// splitHeads turns [B,S,N·D] into [B,N,S,D].
func (l *Lowering) splitHeads(id ValueID, batch, tokens, heads, d int) ValueID {
	return l.Transpose(l.Reshape(id, batch, tokens, heads, d), 0, 2, 1, 3)
}

// causalMask hides later keys: query i stands at position past+i.
func (l *Lowering) causalMask(a *msAttention) ValueID {
	rows := l.Reshape(l.count(a.past, a.past+a.sq), a.sq, 1)
	seen := l.Op("LessOrEqual", l.count(0, a.total()), rows)
	return l.hidden(seen, -math.MaxFloat32)
}

// count is the constant from, from+1, …, to-1 of type int64.
func (l *Lowering) count(from, to int) ValueID {
	at := func(v int) ValueID { return l.Const(tensor.FromI64([]int64{int64(v)})) }
	return l.Op("Range", at(from), at(to), at(1))
}

// hidden turns "may be seen" into what is added to the scores, in the type of input 0.
func (l *Lowering) hidden(seen ValueID, filter float32) ValueID {
	dt := l.In[0].DType
	return l.Op("Where", seen, l.Floats(dt, []float32{0}), l.Floats(dt, []float32{filter}))
}

// keyMask reads input i, which says which keys may be seen, in all forms that ONNX Runtime knows: numbers of keys [B] (or
// [3B+2], of which the first B count), ends and starts [2B], or flags [B,T], [B,S,T], [B,1,M,M] with M ≥ T. Hidden keys get
// attribute mask_filter_value added to their scores.
func (l *Lowering) keyMask(i int, a *msAttention) (ValueID, error) {
	if !l.Has(i) {
		return None, nil
	}
	if err := checkClass(l.NodeCtx, i, classInt); err != nil {
		return None, err
	}
	id, shape, t := l.OpA("Cast", map[string]Attr{"to": IntAttr(int(tensor.I64.ONNX()))}, l.Arg(i)), l.In[i].Shape, a.total()
	filter := l.AttrFloat("mask_filter_value", -10000)
	flags := func(shape ...int) (ValueID, error) {
		return l.hidden(l.Op("Greater", l.Reshape(id, shape...), l.Const(tensor.FromI64([]int64{0}))), filter), nil
	}
	switch {
	case len(shape) == 1:
		seen, err := l.keyRange(i, id, a)
		if err != nil {
			return None, err
		}
		return l.hidden(seen, filter), nil
	case equalShape(shape, []int{a.batch, t}):
		return flags(a.batch, 1, 1, t)
	case equalShape(shape, []int{a.batch, a.sq, t}):
		return flags(a.batch, 1, a.sq, t)
	case len(shape) == 4 && shape[0] == a.batch && shape[1] == 1 && shape[2] == shape[3] && shape[2] >= t && a.past+a.sq <= t:
		id = l.Op("Slice", id, l.Ints(a.past, 0), l.Ints(a.past+a.sq, t), l.Ints(2, 3))
		return flags(a.batch, 1, a.sq, t)
	}
	return None, badInput(l.NodeCtx, i, "of shape %v is no mask of %d rows for %d queries and %d keys", shape, a.batch, a.sq, t)
}

// keyRange reads a mask given as positions; the result broadcasts to [B,1,1,T].
func (l *Lowering) keyRange(i int, id ValueID, a *msAttention) (ValueID, error) {
	n, b := l.In[i].Shape[0], a.batch
	part := func(from int) ValueID {
		return l.Reshape(l.Op("Slice", id, l.Ints(from), l.Ints(from+b), l.Ints(0)), b, 1, 1, 1)
	}
	at := l.count(0, a.total())
	seen := l.Op("Less", at, part(0))
	switch n {
	case b, 3*b + 2:
		return seen, nil
	case 2 * b:
		return l.Op("And", seen, l.Op("GreaterOrEqual", at, part(b))), nil
	}
	return None, badInput(l.NodeCtx, i, "has %d entries for %d rows", n, b)
}

// scoreBias checks input i, which is added to the scores.
func (l *Lowering) scoreBias(i int, a *msAttention) (ValueID, error) {
	if !l.Has(i) {
		return None, nil
	}
	want, s := []int{a.batch, a.heads, a.sq, a.total()}, l.In[i].Shape
	if len(s) != 4 || s[0] != 1 && s[0] != want[0] || s[1] != 1 && s[1] != want[1] || s[2] != want[2] || s[3] != want[3] {
		return None, badInput(l.NodeCtx, i, "has shape %v, want %v or 1 in front", s, want)
	}
	return l.As(l.Arg(i), l.In[0].DType), nil
}

// headsAttr reads attribute num_heads, which must divide the channels.
func headsAttr(l *Lowering, channels ...int) (int, error) {
	n := headCount(l.NodeCtx, "num_heads")
	for _, c := range channels {
		if n < 1 || c%n != 0 {
			return 0, badNode(l.NodeCtx, "attribute num_heads = %d does not divide %d channels", l.AttrInt("num_heads", 0), c)
		}
	}
	return n, nil
}
