package graph

import "slices"

func init() {
	registerMicrosoft("FusedMatMul", lowerFusedMatMul)
	registerMicrosoft("TransposeMatMul", lowerFusedMatMul) // its name before ONNX Runtime 1.5
}

// lowerFusedMatMul is alpha·op(A)·op(B), where op may swap the last two axes (transA) and may have the batch axes behind
// the rows (transBatchA).
func lowerFusedMatMul(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 2, 1, 1); err != nil {
		return err
	}
	if err := checkFloats(l.NodeCtx, 0, 1); err != nil {
		return err
	}
	a := l.matMulOperand(0, l.AttrInt("transA", 0) != 0, l.AttrInt("transBatchA", 0) != 0)
	b := l.matMulOperand(1, l.AttrInt("transB", 0) != 0, l.AttrInt("transBatchB", 0) != 0)
	y := l.Op("MatMul", a, b)
	if alpha := l.AttrFloat("alpha", 1); alpha != 1 {
		y = l.Op("Mul", y, l.Floats(l.In[0].DType, []float32{alpha}))
	}
	l.Result(0, y)
	return nil
}

// matMulOperand brings input i into the order [batch…, rows, columns]. A vector has nothing to swap.
func (l *Lowering) matMulOperand(i int, swap, batch bool) ValueID {
	rank := len(l.In[i].Shape)
	perm := make([]int, rank)
	for k := range perm {
		perm[k] = k
	}
	if batch && rank > 2 { // stored as [rows, batch…, columns]
		for k := range rank - 2 {
			perm[k] = k + 1
		}
		perm[rank-2] = 0
	}
	if swap && rank > 1 {
		perm[rank-2], perm[rank-1] = perm[rank-1], perm[rank-2]
	}
	if slices.IsSorted(perm) {
		return l.Arg(i)
	}
	return l.Transpose(l.Arg(i), perm...)
}
