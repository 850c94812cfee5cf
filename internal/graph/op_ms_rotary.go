package graph

import "winnow/internal/tensor"

func init() { registerMicrosoft("RotaryEmbedding", lowerRotaryEmbedding) }

// lowerRotaryEmbedding: input [B,S,H·D] or [B,H,S,D], position_ids [B,S], or [1] for the position of the first token;
// cos_cache and sin_cache [positions, half of the turned channels].
func lowerRotaryEmbedding(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 4, 4, 1, 1); err != nil {
		return err
	}
	if l.AttrFloat("scale", 1) != 1 {
		return l.Refuse("scale", "scaled rotation")
	}
	if l.AttrInt("is_packed_batching", 0) != 0 {
		return l.Refuse("is_packed_batching", "sequences of different lengths in one row")
	}
	if err := checkRank(l.NodeCtx, 0, 3, 4); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 2, 2, 2); err != nil {
		return err
	}
	x := l.In[0].Shape
	batch, tokens := x[0], x[len(x)-2]
	heads, err := rotaryHeads(l)
	if err != nil {
		return err
	}
	pos := l.Arg(1)
	if equalShape(l.In[1].Shape, []int{1}) && l.In[1].DType == tensor.I64 {
		pos = l.Op("Add", l.count(0, tokens), pos)
		pos = l.Op("Expand", l.Reshape(pos, 1, tokens), l.Ints(batch, tokens))
	}
	if got := l.TypeOf(pos); l.Err() == nil && (got.DType != tensor.I64 || !equalShape(got.Shape, []int{batch, tokens})) {
		return badInput(l.NodeCtx, 1, "is %v, want int64 positions [%d,%d] or [1]", got, batch, tokens)
	}
	r := rotation{cos: l.Arg(2), sin: l.Arg(3), at: pos, interleaved: l.AttrInt("interleaved", 0) != 0}
	l.Result(0, l.rotate(l.Arg(0), heads, r))
	return nil
}

// rotaryHeads checks that a head of input 0 holds the channels that the tables turn, and returns the number of heads.
func rotaryHeads(l *Lowering) (int, error) {
	x, half := l.In[0].Shape, l.In[2].Shape[1]
	if err := checkFloats(l.NodeCtx, 0); err != nil {
		return 0, err
	}
	for i := 2; i < 4; i++ {
		if err := checkShape(l.NodeCtx, i, l.In[2].Shape...); err != nil {
			return 0, err
		}
		if l.In[i].DType != l.In[0].DType {
			return 0, badInput(l.NodeCtx, i, "has type %v, want %v", l.In[i].DType, l.In[0].DType)
		}
	}
	heads, width := x[1], x[len(x)-1]
	if len(x) == 3 {
		if heads = headCount(l.NodeCtx, "num_heads"); heads == 0 { // the tables say how wide a head is
			heads = x[2] / max(1, 2*half)
		}
		if heads < 1 || x[2]%heads != 0 {
			return 0, badInput(l.NodeCtx, 0, "of shape %v does not hold %d heads", x, heads)
		}
		width = x[2] / heads
	}
	if dim := l.AttrInt("rotary_embedding_dim", 0); half < 1 || 2*half > width || dim != 0 && dim != int64(2*half) {
		return 0, badInput(l.NodeCtx, 2, "of shape %v does not fit heads of %d channels", l.In[2].Shape, width)
	}
	return heads, nil
}
