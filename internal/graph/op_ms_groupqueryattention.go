package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() { registerMicrosoft("GroupQueryAttention", lowerGroupQueryAttention) }

// lowerGroupQueryAttention: query [B,S,N·D] with key and value [B,S,M·D], or all of them packed [B,S,(N+2M)·D]; past_key and
// past_value [B,M,P,D]; seqlens_k [B], the number of keys less one; total_sequence_length; cos_cache, sin_cache; position_ids;
// attention_bias. Outputs: [B,S,N·D], present key and value [B,M,P+S,D].
//
// Rows of different lengths are understood in a first call (without past), where the keys that padding made are hidden. With
// past the batch must be 1, because each row's new keys would go to a place that only the contents tell.
func lowerGroupQueryAttention(l *Lowering) error {
	if err := checkInputs(l, 17, 4, 0, 5, 6); err != nil {
		return err
	}
	if err := refuseGroupQuery(l); err != nil {
		return err
	}
	a, err := l.groupQuery()
	if err != nil {
		return err
	}
	if err := l.groupQueryRotary(a); err != nil {
		return err
	}
	if a.mask, err = l.groupQueryMask(a); err != nil {
		return err
	}
	y, k, v := l.attend(a)
	l.Result(0, y)
	l.Result(1, k)
	l.Result(2, v)
	return nil
}

// refuseGroupQuery refuses what no text encoder of the field uses.
func refuseGroupQuery(l *Lowering) error {
	if l.AttrFloat("softcap", 0) != 0 {
		return l.Refuse("softcap", "soft capping of scores")
	}
	if l.AttrInt("smooth_softmax", -1) > 0 {
		return l.Refuse("smooth_softmax", "a smoothed softmax")
	}
	if l.AttrInt("sliding_window_cache", 0) != 0 {
		return l.Refuse("sliding_window_cache", "past in a window-sized buffer")
	}
	for _, name := range []string{"k_quant_type", "v_quant_type"} {
		if t := l.AttrString(name, "NONE"); t != "NONE" {
			return l.Refuse(name, "quantised past")
		}
	}
	if err := refuseInputs(l, "head sinks, quantised past, normalisation of q and k, lengths of queries", 11, 12, 13, 14, 15, 16); err != nil {
		return err
	}
	return refuseOutputs(l, "the scores as a result", 3)
}

// groupQuery brings the operands into one form and checks them.
func (l *Lowering) groupQuery() (*msAttention, error) {
	if err := checkFloats(l.NodeCtx, 0, 1, 2, 3, 4, 7, 8, 10); err != nil {
		return nil, err
	}
	if err := checkSameType(l.NodeCtx, 0, 5); err != nil {
		return nil, err
	}
	if err := checkRank(l.NodeCtx, 0, 3, 3); err != nil {
		return nil, err
	}
	x, n, m := l.In[0].Shape, headCount(l.NodeCtx, "num_heads"), headCount(l.NodeCtx, "kv_num_heads")
	parts := n
	if !l.Has(1) {
		parts += 2 * m
	}
	if n < 1 || m < 1 || n%m != 0 || x[2]%parts != 0 || x[2] == 0 || l.In[0].DType == tensor.F64 {
		return nil, badNode(l.NodeCtx, "query of type %v does not hold %d heads for %d of keys", l.In[0].Type, n, m)
	}
	d := x[2] / parts
	a := &msAttention{q: l.Arg(0), batch: x[0], heads: n, kvHeads: m, sq: x[1], sk: x[1], d: d, dv: d, pastK: None, pastV: None}
	if l.Has(1) {
		a.k, a.v = l.Arg(1), l.Arg(2)
		for i := 1; i < 3; i++ {
			if !l.Has(i) || !equalShape(l.In[i].Shape, []int{x[0], x[1], m * d}) {
				return nil, badInput(l.NodeCtx, i, "is not of shape %v", []int{x[0], x[1], m * d})
			}
		}
	} else {
		cut := l.Split(l.Arg(0), -1, n*d, m*d, m*d)
		a.q, a.k, a.v = cut[0], cut[1], cut[2]
	}
	return a, l.groupQueryPast(a)
}

// groupQueryPast reads the past, which must be as long as the given total length says.
func (l *Lowering) groupQueryPast(a *msAttention) error {
	if l.Has(3) != l.Has(4) {
		return badNode(l.NodeCtx, "past_key and past_value come together")
	}
	if l.Has(3) {
		if err := checkRank(l.NodeCtx, 3, 4, 4); err != nil {
			return err
		}
		a.past = l.In[3].Shape[2]
		for i := 3; i < 5; i++ {
			if err := checkShape(l.NodeCtx, i, a.batch, a.kvHeads, a.past, a.d); err != nil {
				return err
			}
		}
		a.pastK, a.pastV = l.Arg(3), l.Arg(4)
	}
	if a.past > 0 && a.batch != 1 {
		return l.Refuse("", "past with more than one row")
	}
	t, ok := l.ConstScalar(6)
	if !ok {
		return l.Refuse("", "a total_sequence_length that depends on contents")
	}
	if int(t) != a.total() {
		return l.Refuse("", "past in a buffer that is longer than its contents")
	}
	return checkShape(l.NodeCtx, 5, a.batch)
}

// groupQueryRotary turns queries and keys by their positions, which start behind the past.
func (l *Lowering) groupQueryRotary(a *msAttention) error {
	if l.AttrInt("do_rotary", 0) == 0 {
		return nil
	}
	if !l.Has(7) || !l.Has(8) {
		return badNode(l.NodeCtx, "rotary embedding needs cos_cache and sin_cache")
	}
	if t := l.In[7].Shape; len(t) != 2 || t[1] < 1 || 2*t[1] > a.d || !equalShape(t, l.In[8].Shape) {
		return badInput(l.NodeCtx, 7, "of shape %v does not fit heads of %d channels", t, a.d)
	}
	at := l.Op("Expand", l.Reshape(l.count(a.past, a.total()), 1, a.sq), l.Ints(a.batch, a.sq))
	if l.Has(9) && a.past == 0 {
		// A first call counts on from the first position given.
		if l.In[9].DType != tensor.I64 || l.In[9].Elems() < 1 {
			return badInput(l.NodeCtx, 9, "is %v, want int64 positions", l.In[9].Type)
		}
		first := l.Op("Slice", l.Reshape(l.Arg(9), l.In[9].Elems()), l.Ints(0), l.Ints(1), l.Ints(0))
		at = l.Op("Add", at, first)
	} else if l.Has(9) {
		if l.In[9].DType != tensor.I64 || !equalShape(l.In[9].Shape, []int{a.batch, a.sq}) {
			return badInput(l.NodeCtx, 9, "is %v, want int64 positions [%d,%d]", l.In[9].Type, a.batch, a.sq)
		}
		at = l.Arg(9)
	}
	dt := l.In[0].DType
	r := rotation{cos: l.As(l.Arg(7), dt), sin: l.As(l.Arg(8), dt), at: at, interleaved: l.AttrInt("rotary_interleaved", 0) != 0}
	a.q, a.k = l.rotate(a.q, a.heads, r), l.rotate(a.k, a.kvHeads, r)
	return nil
}

// groupQueryMask hides keys behind a row's length, later keys, and keys outside of the local window.
func (l *Lowering) groupQueryMask(a *msAttention) (ValueID, error) {
	if err := checkClass(l.NodeCtx, 5, classInt); err != nil {
		return None, err
	}
	keys, seen := l.count(0, a.total()), None
	if a.past == 0 {
		ends := l.OpA("Cast", map[string]Attr{"to": IntAttr(int(tensor.I64.ONNX()))}, l.Arg(5))
		seen = l.Op("LessOrEqual", keys, l.Reshape(ends, a.batch, 1, 1, 1))
	}
	if l.AttrInt("causal", 1) != 0 {
		rows := l.Reshape(l.count(a.past, a.total()), a.sq, 1)
		seen = l.andAll(seen, l.Op("LessOrEqual", keys, rows))
		if w := l.AttrInt("local_window_size", -1); w > 0 {
			behind := l.Op("Sub", rows, l.Const(tensor.FromI64([]int64{w})))
			seen = l.andAll(seen, l.Op("Greater", keys, behind))
		}
	}
	bias, err := l.scoreBias(10, a)
	if err != nil || seen == None {
		return bias, err
	}
	return l.AddAll(l.hidden(seen, -math.MaxFloat32), bias), nil
}

func (l *Lowering) andAll(a, b ValueID) ValueID {
	if a == None {
		return b
	}
	return l.Op("And", a, b)
}
