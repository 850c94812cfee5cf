package graph

import "winnow/internal/tensor"

func init() { registerMicrosoft("MultiHeadAttention", lowerMultiHeadAttention) }

// lowerMultiHeadAttention: query, key and value as [B,S,N·D], or packed (query [B,S,N,3,D]; key [B,L,N,2,D]), or key and
// value as [B,N,L,D] from an earlier call; bias [Hq+Hk+Hv], key_padding_mask (see keyMask), attention_bias [B or 1, N or 1,
// S, T], past_key and past_value [B,N,P,D]. Outputs: [B,S,Hv], present key and value [B,N,P+L,D].
func lowerMultiHeadAttention(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 1, 10, 1, 4); err != nil {
		return err
	}
	if err := refuseInputs(l, "past in a shared buffer, and beam search", 8, 9); err != nil {
		return err
	}
	if err := refuseOutputs(l, "the scores as a result", 3); err != nil {
		return err
	}
	a, err := l.multiHead()
	if err != nil {
		return err
	}
	if a.mask, err = l.scoreMask(4, 5, a); err != nil {
		return err
	}
	y, k, v := l.attend(a)
	l.Result(0, y)
	l.Result(1, k)
	l.Result(2, v)
	return nil
}

// multiHead brings the operands into one form and checks them.
func (l *Lowering) multiHead() (*msAttention, error) {
	if err := checkFloats(l.NodeCtx, 0, 1, 2, 3, 5, 6, 7); err != nil {
		return nil, err
	}
	if l.In[0].DType == tensor.F64 {
		return nil, badInput(l.NodeCtx, 0, "has type float64")
	}
	rank := func(i int) int {
		if !l.Has(i) {
			return 0
		}
		return len(l.In[i].Shape)
	}
	var a *msAttention
	var err error
	switch forms := [3]int{rank(0), rank(1), rank(2)}; forms {
	case [3]int{5, 0, 0}:
		a, err = l.packedQKV()
	case [3]int{3, 5, 0}:
		a, err = l.packedKV()
	case [3]int{3, 3, 3}, [3]int{3, 4, 4}:
		a, err = l.separateQKV()
	default:
		return nil, badNode(l.NodeCtx, "query, key and value of ranks %d, %d, %d (0: absent) are no form of this operator",
			forms[0], forms[1], forms[2])
	}
	if err != nil {
		return nil, err
	}
	if err := l.projectionBias(a); err != nil {
		return nil, err
	}
	return a, l.pastState(a)
}

// packedQKV reads query [B,S,N,3,D].
func (l *Lowering) packedQKV() (*msAttention, error) {
	s := l.In[0].Shape
	n, err := headsAttr(l)
	if err != nil {
		return nil, err
	}
	if err := checkShape(l.NodeCtx, 0, s[0], s[1], n, 3, s[4]); err != nil {
		return nil, err
	}
	a := &msAttention{batch: s[0], heads: n, sq: s[1], sk: s[1], d: s[4], dv: s[4]}
	parts := l.Split(l.Arg(0), 3, 1, 1, 1)
	a.q, a.k, a.v = l.flat(parts[0], s), l.flat(parts[1], s), l.flat(parts[2], s)
	return a, nil
}

// packedKV reads key [B,L,N,2,D].
func (l *Lowering) packedKV() (*msAttention, error) {
	q, s := l.In[0].Shape, l.In[1].Shape
	n, err := headsAttr(l, q[2])
	if err != nil {
		return nil, err
	}
	if err := checkShape(l.NodeCtx, 1, q[0], s[1], n, 2, q[2]/n); err != nil {
		return nil, err
	}
	a := &msAttention{q: l.Arg(0), batch: s[0], heads: n, sq: q[1], sk: s[1], d: s[4], dv: s[4]}
	parts := l.Split(l.Arg(1), 3, 1, 1)
	a.k, a.v = l.flat(parts[0], s), l.flat(parts[1], s)
	return a, nil
}

// flat turns one part [B,S,N,1,D] of a packed operand of shape s into [B,S,N·D].
func (l *Lowering) flat(id ValueID, s []int) ValueID { return l.Reshape(id, s[0], s[1], s[2]*s[4]) }

// separateQKV reads three operands; keys and values may have been split into heads before.
func (l *Lowering) separateQKV() (*msAttention, error) {
	q, k, v := l.In[0].Shape, l.In[1].Shape, l.In[2].Shape
	n, err := headsAttr(l, q[2])
	if err != nil {
		return nil, err
	}
	a := &msAttention{q: l.Arg(0), k: l.Arg(1), v: l.Arg(2), batch: q[0], heads: n, sq: q[1], d: q[2] / n}
	if a.headed = len(k) == 4; a.headed {
		a.sk, a.dv = k[2], v[3]
		if err := checkShape(l.NodeCtx, 1, q[0], n, a.sk, a.d); err != nil {
			return nil, err
		}
		return a, checkShape(l.NodeCtx, 2, q[0], n, a.sk, a.dv)
	}
	if _, err := headsAttr(l, v[2]); err != nil {
		return nil, err
	}
	a.sk, a.dv = k[1], v[2]/n
	if err := checkShape(l.NodeCtx, 1, q[0], a.sk, q[2]); err != nil {
		return nil, err
	}
	return a, checkShape(l.NodeCtx, 2, q[0], a.sk, v[2])
}

// projectionBias adds input bias to q, k and v; keys and values of an earlier call have theirs already.
func (l *Lowering) projectionBias(a *msAttention) error {
	if !l.Has(3) {
		return nil
	}
	sizes := []int{a.heads * a.d, a.heads * a.d, a.heads * a.dv}
	if err := checkShape(l.NodeCtx, 3, sizes[0]+sizes[1]+sizes[2]); err != nil {
		return err
	}
	parts := l.Split(l.As(l.Arg(3), l.In[0].DType), 0, sizes...)
	a.q = l.Op("Add", a.q, parts[0])
	if !a.headed {
		a.k, a.v = l.Op("Add", a.k, parts[1]), l.Op("Add", a.v, parts[2])
	}
	return nil
}

// pastState reads inputs past_key and past_value.
func (l *Lowering) pastState(a *msAttention) error {
	a.pastK, a.pastV = l.Arg(6), l.Arg(7)
	if a.pastK == None && a.pastV == None {
		return nil
	}
	if a.pastK == None || a.pastV == None || a.headed || len(l.In[0].Shape) != 3 || len(l.In[6].Shape) != 4 {
		return badNode(l.NodeCtx, "past_key and past_value come together, as [B,N,P,D], with query, key and value of rank 3")
	}
	a.past = l.In[6].Shape[2]
	if err := checkShape(l.NodeCtx, 6, a.batch, a.heads, a.past, a.d); err != nil {
		return err
	}
	return checkShape(l.NodeCtx, 7, a.batch, a.heads, a.past, a.dv)
}
