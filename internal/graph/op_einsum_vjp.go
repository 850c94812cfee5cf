package graph

import (
	"slices"
	"strings"

	"winnow/internal/tensor"
)

// einsumVJP: the gradient of an operand is the contraction of the cotangent with the other operands into the operand's
// labels. Labels that only this operand has are spread, broadcast ones summed, repeated ones put on the diagonal.
func einsumVJP(b *Backward) error {
	e, err := parseEinsum(b.NodeCtx)
	if err != nil {
		return err
	}
	names, ok := e.letters()
	if !ok {
		return b.Refuse("equation", "the gradient of an equation with more than 52 labels")
	}
	for i := range b.In {
		if b.Needs(i) {
			b.Give(i, e.spread(b, i, e.contractOthers(b, i, names)))
		}
	}
	return nil
}

// letters names every label, those of ellipses included.
func (e *einsum) letters() (map[int]string, bool) {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	names := map[int]string{}
	for _, term := range e.in {
		for _, l := range term {
			if _, ok := names[l]; !ok && len(names) == len(alphabet) {
				return nil, false
			} else if !ok {
				names[l] = alphabet[len(names):][:1]
			}
		}
	}
	return names, true
}

// partialSum is a value whose dimensions carry labels.
type partialSum struct {
	value  ValueID
	labels []int
}

// contractOthers multiplies the cotangent and all operands but i and sums over the labels that operand i does not have
// at full size.
func (e *einsum) contractOthers(b *Backward, i int, names map[int]string) partialSum {
	terms, ops := e.in, make([]ValueID, 0, len(e.in))
	var left [][]int
	if len(e.out) > 0 {
		left, ops = append(left, e.out), append(ops, b.G(0))
	}
	for k, term := range terms {
		if k != i {
			left, ops = append(left, term), append(ops, b.X(k))
		}
	}
	var out []int
	for _, l := range e.in[i] {
		there := slices.ContainsFunc(left, func(term []int) bool { return slices.Contains(term, l) })
		if there && len(e.places(b, i, l)) > 0 && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	sum := partialSum{None, out}
	if len(ops) > 0 {
		sum.value = b.OpA("Einsum", map[string]Attr{"equation": StringAttr(equation(left, out, names))}, ops...)
	}
	switch { // a cotangent without dimensions is a factor
	case len(e.out) > 0:
	case sum.value == None:
		sum.value = b.G(0)
	default:
		sum.value = b.Op("Mul", sum.value, b.G(0))
	}
	return sum
}

func equation(left [][]int, out []int, names map[int]string) string {
	spell := func(labels []int) string {
		s := ""
		for _, l := range labels {
			s += names[l]
		}
		return s
	}
	terms := make([]string, len(left))
	for i, term := range left {
		terms[i] = spell(term)
	}
	return strings.Join(terms, ",") + "->" + spell(out)
}

// places lists the dimensions of operand i that label l indexes at its full size.
func (e *einsum) places(b *Backward, i, l int) []int {
	var dims []int
	for d, have := range e.in[i] {
		if have == l && b.In[i].Shape[d] == e.size[l] {
			dims = append(dims, d)
		}
	}
	return dims
}

// spread gives a sum the shape of operand i.
func (e *einsum) spread(b *Backward, i int, sum partialSum) ValueID {
	if b.err != nil {
		return None
	}
	rank := len(b.In[i].Shape)
	shape, perm := slices.Repeat([]int{1}, rank), slices.Clone(sum.labels)
	slices.SortFunc(perm, func(l, m int) int { return e.places(b, i, l)[0] - e.places(b, i, m)[0] })
	for k, l := range perm {
		shape[e.places(b, i, l)[0]] = b.Shape(sum.value)[slices.Index(sum.labels, l)]
		perm[k] = slices.Index(sum.labels, l)
	}
	g := b.Expand(b.Reshape(b.Transpose(sum.value, perm...), shape...), e.firstPlaces(b, i)...)
	for d, l := range e.in[i] {
		if at := e.places(b, i, l); len(at) > 1 && at[0] == d {
			g = b.Op("Mul", g, b.diagonal(b.In[i].Type, at))
		}
	}
	return b.Expand(g, b.In[i].Shape...)
}

// firstPlaces is the shape of operand i with every repeated label at full size in its first place only.
func (e *einsum) firstPlaces(b *Backward, i int) []int {
	shape := slices.Repeat([]int{1}, len(b.In[i].Shape))
	for _, l := range e.in[i] {
		if at := e.places(b, i, l); len(at) > 0 {
			shape[at[0]] = e.size[l]
		}
	}
	return shape
}

// diagonal is 1 where the coordinates along the given dimensions of t, which are of equal size, agree; the other
// dimensions have size 1.
func (b *Backward) diagonal(t Type, dims []int) ValueID {
	shape := slices.Repeat([]int{1}, len(t.Shape))
	for _, d := range dims {
		shape[d] = t.Shape[d]
	}
	mask, step := tensor.New(tensor.F64, shape...), 0
	for _, d := range dims {
		step += rowStrides(shape)[d]
	}
	for k := range t.Shape[dims[0]] {
		mask.F64()[k*step] = 1
	}
	return b.constLike(mask)
}
