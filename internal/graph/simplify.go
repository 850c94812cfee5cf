package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// viewOps are the operators that only give the same elements another shape.
var viewOps = []string{"Reshape", "Squeeze", "Unsqueeze", "Flatten"}

// viewOf returns the producer of a value if it only reshapes its first input.
func (p *ir) viewOf(id ValueID) *irNode {
	for _, op := range viewOps {
		if n := p.def(id, op); n != nil {
			return n
		}
	}
	return nil
}

func isViewOp(n *irNode) bool {
	return !n.dead && canonicalDomain(n.Domain) == "" && slices.Contains(viewOps, n.Op)
}

// simplify removes what does nothing, merges chains of reshapes and of transposes, and turns transposes that move only
// dimensions of size one into reshapes.
func simplify(p *ir) int {
	total := 0
	for range 4 { // one rewrite makes room for the next; exports need two or three rounds
		count := p.each(func(n *irNode) bool {
			switch {
			case p.dropIdle(n):
				return true
			case n.is("Transpose"):
				return p.simplifyTranspose(n)
			case isViewOp(n):
				return p.mergeViews(n) || p.swapAfterView(n)
			}
			return false
		})
		total += count
		if count == 0 {
			break
		}
	}
	return total
}

// dropIdle removes a node whose result equals its operand.
func (p *ir) dropIdle(n *irNode) bool {
	src := p.idleSource(n)
	if src == None || !p.val(src).typ.Equal(p.val(n.Outputs[0]).typ) {
		return false
	}
	for _, o := range n.Outputs[1:] {
		if p.val(o).uses > 0 {
			return false
		}
	}
	p.alias(n, src)
	return true
}

// idleSource returns the operand that a node passes on unchanged if the types agree, None for working nodes.
func (p *ir) idleSource(n *irNode) ValueID {
	switch {
	case n.dead || canonicalDomain(n.Domain) != "" || len(n.Inputs) == 0:
		return None
	case n.is("Dropout"):
		if ratio, err := trainingRatio(p.context(n)); err == nil && ratio == 0 {
			return n.Inputs[0]
		}
	case isViewOp(n), slices.Contains([]string{"Expand", "Cast"}, n.Op):
		return n.Inputs[0]
	case n.is("Concat") && len(n.Inputs) == 1:
		return n.Inputs[0]
	case n.is("Transpose"):
		if perm := p.perm(n); slices.IsSorted(perm) {
			return n.Inputs[0]
		}
	case n.is("Mul"), n.is("Div"):
		return p.neutral(n, 1)
	case n.is("Add"), n.is("Sub"):
		return p.neutral(n, 0)
	}
	return None
}

// neutral returns the other operand of an operator one of whose operands is its neutral element everywhere.
func (p *ir) neutral(n *irNode, e float64) ValueID {
	if len(n.Inputs) != 2 {
		return None
	}
	is := func(id ValueID) bool {
		v, ok := p.scalar(id)
		return ok && v == e || p.allEqual(id, float32(e))
	}
	switch {
	case is(n.Inputs[1]):
		return n.Inputs[0]
	case is(n.Inputs[0]) && (n.is("Add") || n.is("Mul")):
		return n.Inputs[1]
	}
	return None
}

// perm returns a Transpose's permutation, reversed order by default.
func (p *ir) perm(n *irNode) []int {
	if perm := n.attrInts("perm"); perm != nil {
		return perm
	}
	perm := make([]int, len(p.shape(n.Inputs[0])))
	for i := range perm {
		perm[i] = len(perm) - 1 - i
	}
	return perm
}

func (p *ir) simplifyTranspose(n *irNode) bool {
	src, perm := n.Inputs[0], p.perm(n)
	if keepsOrder(p.shape(src), perm) && p.val(n.Outputs[0]).typ.Elems() > 0 {
		return p.reshapeTo(n, src)
	}
	if inner := p.def(src, "Transpose"); inner != nil {
		first := p.perm(inner)
		both := make([]int, len(perm))
		for i, x := range perm {
			both[i] = first[x]
		}
		return p.replace(n, spec{op: "Transpose", attrs: map[string]Attr{"perm": IntsAttr(both...)}, inputs: inner.Inputs})
	}
	return false
}

// keepsOrder reports whether a permutation moves only dimensions of size one.
func keepsOrder(shape, perm []int) bool {
	last := -1
	for _, x := range perm {
		if shape[x] == 1 {
			continue
		}
		if x < last {
			return false
		}
		last = x
	}
	return true
}

// mergeViews lets a reshape of a reshape start from the first source.
func (p *ir) mergeViews(n *irNode) bool {
	inner := p.viewOf(n.Inputs[0])
	if inner == nil || p.val(n.Outputs[0]).typ.Elems() == 0 {
		return false
	}
	src := inner.Inputs[0]
	if p.val(src).typ.Equal(p.val(n.Outputs[0]).typ) {
		p.alias(n, src)
		return true
	}
	return p.reshapeTo(n, src)
}

// swapAfterView turns "swap the last two axes, then regroup the leading ones" into the opposite order. One exporter
// transposes the keys of attention that way; in this order the swap meets the transpose that split the heads.
func (p *ir) swapAfterView(n *irNode) bool {
	src := p.untransposed(n.Inputs[0])
	from, to := p.shape(n.Inputs[0]), slices.Clone(p.shape(n.Outputs[0]))
	r, q := len(to), len(from)
	if src == None || !p.single(n.Inputs[0]) || r < 2 || p.val(src).typ.Elems() == 0 {
		return false
	}
	if to[r-1] != from[q-1] || to[r-2] != from[q-2] {
		return false
	}
	to[r-1], to[r-2] = to[r-2], to[r-1]
	view, ok := p.insertBefore(n, p.reshapeSpec(src, to))
	if !ok {
		return false
	}
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-1], perm[r-2] = r-2, r-1
	return p.replace(n, spec{op: "Transpose", attrs: map[string]Attr{"perm": IntsAttr(perm...)}, inputs: []ValueID{view}})
}

// reshapeTo replaces a node by a Reshape of src to the node's output shape.
func (p *ir) reshapeTo(n *irNode, src ValueID) bool {
	return p.replace(n, p.reshapeSpec(src, p.shape(n.Outputs[0])))
}

func (p *ir) reshapeSpec(src ValueID, shape []int) spec {
	return spec{op: "Reshape", inputs: []ValueID{src, p.constInts("shape", shape)}}
}

// skipCast walks back over casts between the floating types that are stored alike. Inside a recognised structure the
// roundings that such casts stand for are not reproduced: the fused operator works in float32 throughout.
func (p *ir) skipCast(id ValueID) ValueID {
	for {
		n := p.def(id, "Cast")
		if n == nil || p.val(id).typ.Storage() != tensor.F32 || p.val(n.Inputs[0]).typ.Storage() != tensor.F32 {
			return id
		}
		id = n.Inputs[0]
	}
}

// withType walks back over casts until a value has the wanted element type; id itself if none has.
func (p *ir) withType(id ValueID, want tensor.DType) ValueID {
	for at := id; ; {
		if p.val(at).typ.DType == want {
			return at
		}
		n := p.def(at, "Cast")
		if n == nil || p.val(n.Inputs[0]).typ.Storage() != tensor.F32 {
			return id
		}
		at = n.Inputs[0]
	}
}

// scaled splits a value into x·c when a multiplication or division by a constant number made it; c is 1 otherwise.
func (p *ir) scaled(id ValueID) (x ValueID, c float64) {
	if n := p.def(id, "Mul"); n != nil {
		for i := range 2 {
			if v, ok := p.scalar(n.Inputs[1-i]); ok && slices.Equal(p.shape(n.Inputs[i]), p.shape(id)) {
				return n.Inputs[i], v
			}
		}
	}
	if n := p.def(id, "Div"); n != nil {
		if v, ok := p.scalar(n.Inputs[1]); ok && v != 0 && slices.Equal(p.shape(n.Inputs[0]), p.shape(id)) {
			return n.Inputs[0], 1 / v
		}
	}
	return id, 1
}

// near reports whether a constant of a file is the number meant, as far as half precision can say.
func near(v, want float64) bool {
	d := v - want
	return d <= 1e-3*abs(want) && -d <= 1e-3*abs(want)
}

func abs(v float64) float64 {
	if v < 0 {
		return -v
	}
	return v
}
