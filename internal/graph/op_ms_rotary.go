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
	attrs := attrsOf(l, "interleaved", "rotary_embedding_dim")
	if len(x) == 3 {
		heads := headCount(l.NodeCtx, "num_heads")
		if heads == 0 { // the tables say how wide a head is
			heads = x[2] / max(1, 2*l.In[2].Shape[1])
		}
		attrs["num_heads"] = IntAttr(heads)
	}
	pos := l.Arg(1)
	if equalShape(l.In[1].Shape, []int{1}) && l.In[1].DType == tensor.I64 {
		pos = l.Op("Add", l.count(0, tokens), pos)
		pos = l.Op("Expand", l.Reshape(pos, 1, tokens), l.Ints(batch, tokens))
	}
	l.Result(0, l.OpA("RotaryEmbedding", attrs, l.Arg(0), l.Arg(2), l.Arg(3), pos))
	return nil
}
