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
