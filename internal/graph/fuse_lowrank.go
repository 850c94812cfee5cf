package graph

import "winnow/internal/tensor"

// fuseLowRank turns x·W + s·(x·A)·B, a weight with a low-rank adapter beside it, into x·(W + (A·s)·B). The factors are inputs, so
// nothing of this is known before a run. It saves the two thin products over all rows, and on the way back four of them: the
// derivative with respect to the sum is one product that those of the factors follow from. See lowRankPays for when.
func fuseLowRank(p *ir) int {
	return p.each(func(n *irNode) bool {
		if !n.is("Add") {
			return false
		}
		for i := range 2 {
			base, delta := p.plainProduct(n.Inputs[i]), p.plainProduct(n.Inputs[1-i])
			if base != nil && delta != nil && p.lowRank(n, base, delta) {
				return true
			}
		}
		return false
	})
}

// plainProduct returns the product of a float32 value with a matrix that makes a value which is read only once.
func (p *ir) plainProduct(id ValueID) *irNode {
	n := p.def(id, "MatMul")
	if n == nil || !p.single(id) || len(p.shape(n.Inputs[0])) < 2 || len(p.shape(n.Inputs[1])) != 2 || p.val(id).typ.DType != tensor.F32 {
		return nil
	}
	return n
}

// lowRank rewrites sum, which adds base and delta.
func (p *ir) lowRank(sum, base, delta *irNode) bool {
	h, scale := delta.Inputs[0], None
	if mul := p.def(h, "Mul"); mul != nil && p.single(h) {
		for i := range 2 {
			if s := p.sameForAll(mul.Inputs[i]); s != None {
				h, scale = mul.Inputs[1-i], s
				break
			}
		}
	}
	down := p.plainProduct(h)
	if down == nil || down.Inputs[0] != base.Inputs[0] {
		return false
	}
	a, b := down.Inputs[1], delta.Inputs[1]
	if p.val(a).konst != nil || p.val(b).konst != nil || !lowRankPays(p.shape(a)[0], p.shape(b)[1], p.shape(a)[1]) {
		return false
	}
	if scale != None {
		var ok bool
		if a, ok = p.insertBefore(sum, spec{op: "Mul", inputs: []ValueID{a, scale}}); !ok {
			return false
		}
	}
	w, ok := p.insertBefore(sum, spec{op: "MatMul", inputs: []ValueID{a, b}})
	if !ok {
		return false
	}
	if w, ok = p.insertBefore(sum, spec{op: "Add", inputs: []ValueID{base.Inputs[1], w}}); !ok {
		return false
	}
	return p.replace(sum, spec{op: "MatMul", inputs: []ValueID{base.Inputs[0], w}})
}

// lowRankPays compares the work of both forms for a weight of in×out and an adapter of rank r. A thin product of r columns or of
// depth r runs at about a quarter of the speed of a full one, and there are six of them, forward and backward, in place of one. The
// number of rows is left out, so that equal samples have equal results in batches of any size; a rank up to 32 keeps the sum cheap
// for few rows, too.
func lowRankPays(in, out, r int) bool { return r <= 32 && in*out < 8*r*(in+out) }

// sameForAll returns the single number that a value repeats for all rows, as a scalar, vector or matrix; None where it may hold several.
func (p *ir) sameForAll(id ValueID) ValueID {
	for p.val(id).typ.Elems() != 1 || len(p.shape(id)) > 2 {
		n := p.val(id).def
		if n == nil || !n.is("Expand") && !n.is("Reshape") {
			return None
		}
		id = n.Inputs[0]
	}
	return id
}
