package graph

import "winnow/internal/tensor"

func init() { registerMicrosoft("Attention", lowerMSAttention) }

// lowerMSAttention is self-attention with its projections: input [B,S,I], weights [I, Hq+Hk+Hv], bias [Hq+Hk+Hv],
// mask_index (see keyMask), past [2,B,N,P,D], attention_bias [B or 1, N or 1, S, T]; outputs [B,S,Hv] and present
// [2,B,N,P+S,D].
func lowerMSAttention(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 7, 1, 2); err != nil {
		return err
	}
	if l.AttrInt("do_rotary", 0) != 0 {
		return l.Refuse("do_rotary", "rotary embedding inside Attention")
	}
	if l.AttrInt("past_present_share_buffer", 0) != 0 || l.Has(6) {
		return l.Refuse("past_present_share_buffer", "past and present in one buffer")
	}
	a, sizes, err := planMSAttention(l)
	if err != nil {
		return err
	}
	parts := l.Split(l.AddAll(l.Op("MatMul", l.Arg(0), l.Arg(1)), l.Arg(2)), -1, sizes...)
	a.q, a.k, a.v = parts[0], parts[1], parts[2]
	if a.mask, err = l.scoreMask(3, 5, a); err != nil {
		return err
	}
	if l.Has(4) {
		past := l.Split(l.Arg(4), 0, 1, 1)
		a.pastK, a.pastV = l.Op("Squeeze", past[0], l.Ints(0)), l.Op("Squeeze", past[1], l.Ints(0))
	}
	y, k, v := l.attend(a)
	l.Result(0, y)
	if l.Wants(1) {
		if a.d != a.dv {
			return badNode(l.NodeCtx, "present needs keys and values of one size, not %d and %d", a.d, a.dv)
		}
		stack := func(id ValueID) ValueID { return l.Reshape(id, 1, a.batch, a.heads, a.total(), a.d) }
		l.Result(1, l.OpA("Concat", map[string]Attr{"axis": IntAttr(0)}, stack(k), stack(v)))
	}
	return nil
}

// scoreMask sums what inputs mask and bias add to the scores.
func (l *Lowering) scoreMask(mask, bias int, a *msAttention) (ValueID, error) {
	m, err := l.keyMask(mask, a)
	if err != nil {
		return None, err
	}
	b, err := l.scoreBias(bias, a)
	return l.AddAll(m, b), err
}

// planMSAttention checks the operands; sizes are the columns of the weights that belong to q, k and v.
func planMSAttention(l *Lowering) (*msAttention, []int, error) {
	if err := checkFloats(l.NodeCtx, 0, 1, 2, 4, 5); err != nil {
		return nil, nil, err
	}
	if err := checkRank(l.NodeCtx, 0, 3, 3); err != nil {
		return nil, nil, err
	}
	if err := checkRank(l.NodeCtx, 1, 2, 2); err != nil {
		return nil, nil, err
	}
	sizes, err := qkvSizes(l)
	if err != nil {
		return nil, nil, err
	}
	n, err := headsAttr(l, sizes...)
	if err != nil {
		return nil, nil, err
	}
	x := l.In[0].Shape
	a := &msAttention{batch: x[0], heads: n, sq: x[1], sk: x[1], d: sizes[0] / n, dv: sizes[2] / n, pastK: None, pastV: None}
	if err := checkShape(l.NodeCtx, 2, l.In[1].Shape[1]); err != nil {
		return nil, nil, err
	}
	if l.Has(4) {
		if err := checkRank(l.NodeCtx, 4, 5, 5); err != nil {
			return nil, nil, err
		}
		a.past = l.In[4].Shape[3]
		if a.d != a.dv {
			return nil, nil, badInput(l.NodeCtx, 4, "needs keys and values of one size, not %d and %d", a.d, a.dv)
		}
		return a, sizes, checkShape(l.NodeCtx, 4, 2, a.batch, n, a.past, a.d)
	}
	return a, sizes, nil
}

// qkvSizes reads attribute qkv_hidden_sizes, thirds of the weights' columns by default.
func qkvSizes(l *Lowering) ([]int, error) {
	columns := l.In[1].Shape[1]
	v, ok := l.AttrInts("qkv_hidden_sizes")
	if !ok {
		v = []int64{int64(columns) / 3, int64(columns) / 3, int64(columns) / 3}
	}
	if len(v) != 3 || v[0] < 1 || v[0] != v[1] || v[2] < 1 || max(v[0], v[2]) > maxElems || v[0]+v[1]+v[2] != int64(columns) {
		return nil, badInput(l.NodeCtx, 1, "of shape %v does not hold q, k and v of sizes %v", l.In[1].Shape, v)
	}
	if l.In[0].DType == tensor.F64 {
		return nil, badInput(l.NodeCtx, 0, "has type float64")
	}
	return []int{int(v[0]), int(v[1]), int(v[2])}, nil
}
