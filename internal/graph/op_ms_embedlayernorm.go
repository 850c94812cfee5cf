package graph

import "winnow/internal/tensor"

func init() { registerMicrosoft("EmbedLayerNormalization", lowerEmbedLayerNorm) }

// lowerEmbedLayerNorm adds word, position and segment embeddings and normalises the sum. Inputs: input_ids [B,S],
// segment_ids [B,S], the word, position and segment tables, gamma, beta, mask [B,S], position_ids [B,S] or [1,S] (default
// 0, 1, …). Outputs: the result, the number of ones in each row of the mask, the sum.
func lowerEmbedLayerNorm(l *Lowering) error {
	if err := checkEmbedLayerNorm(l); err != nil {
		return err
	}
	sum := l.AddAll(l.Op("Gather", l.Arg(2), l.Arg(0)), l.positionRows())
	if l.Has(1) {
		sum = l.Op("Add", sum, l.Op("Gather", l.Arg(4), l.Arg(1)))
	}
	attrs := map[string]Attr{"axis": IntAttr(-1), "epsilon": FloatAttr(l.AttrFloat("epsilon", skipEpsilon))}
	l.Result(0, l.OpA("LayerNormalization", attrs, sum, l.Arg(5), l.Arg(6)))
	if l.Wants(1) {
		l.Result(1, maskCount(l))
	}
	l.Result(2, sum)
	return nil
}

func checkEmbedLayerNorm(l *Lowering) error {
	if err := checkInputs(l, 9, 3, 0, 2, 3, 5, 6); err != nil {
		return err
	}
	if l.Has(1) != l.Has(4) {
		return badNode(l.NodeCtx, "segment_ids and segment_embedding come together or not at all")
	}
	if err := checkRank(l.NodeCtx, 0, 2, 2); err != nil {
		return err
	}
	for _, i := range []int{0, 1, 7, 8} {
		if l.Has(i) && classOf(l.In[i].DType) != classInt {
			return badInput(l.NodeCtx, i, "has type %v, want int32", l.In[i].DType)
		}
	}
	ids := l.In[0].Shape
	for _, i := range []int{1, 7} {
		if err := checkShape(l.NodeCtx, i, ids...); err != nil {
			return err
		}
	}
	if err := checkFloats(l.NodeCtx, 2); err != nil {
		return err
	}
	for _, i := range []int{2, 3, 4} {
		if l.Has(i) && (len(l.In[i].Shape) != 2 || l.In[i].DType != l.In[2].DType) {
			return badInput(l.NodeCtx, i, "of type %v is no table like input 2", l.In[i].Type)
		}
	}
	if !l.Has(8) && l.In[3].Shape[0] < ids[1] {
		return badInput(l.NodeCtx, 3, "has %d positions for %d tokens", l.In[3].Shape[0], ids[1])
	}
	return nil
}

// positionRows returns the position embeddings as [1,S,H] or [B,S,H].
func (l *Lowering) positionRows() ValueID {
	if l.Has(8) {
		return l.Op("Gather", l.Arg(3), l.Arg(8))
	}
	tokens, width := l.In[0].Shape[1], l.In[3].Shape[1]
	rows := l.Op("Slice", l.Arg(3), l.Ints(0), l.Ints(tokens), l.Ints(0))
	return l.Reshape(rows, 1, tokens, width)
}

// maskCount counts the ones of each row of the mask, 0 without a mask.
func maskCount(l *Lowering) ValueID {
	batch := l.In[0].Shape[0]
	if !l.Has(7) {
		return l.Const(tensor.New(tensor.I32, batch))
	}
	one := l.OpA("Cast", map[string]Attr{"to": IntAttr(int(l.In[7].DType.ONNX()))}, l.Const(tensor.FromI32([]int32{1})))
	ones := l.OpA("Cast", map[string]Attr{"to": IntAttr(int(tensor.I32.ONNX()))}, l.Op("Equal", l.Arg(7), one))
	return l.OpA("ReduceSum", map[string]Attr{"keepdims": IntAttr(0)}, ones, l.Ints(1))
}
