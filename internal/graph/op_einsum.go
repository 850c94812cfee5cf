package graph

import (
	"strings"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Einsum", Since: 12, Infer: inferEinsum, Compile: compileEinsum, VJP: einsumVJP})
}

// einsum is a parsed equation. Labels are small integers: letters, and one negative-free range for the dimensions that
// an ellipsis stands for.
type einsum struct {
	in   [][]int // labels of each operand's dimensions
	out  []int
	size map[int]int
}

// ellipsisBase is the label of the last dimension of an ellipsis; the ones before count down from it. Letters are below.
const ellipsisBase = 1 << 10

// parseEinsum reads "ij,jk->ik" with spaces, an ellipsis and an implied result.
func parseEinsum(c *NodeCtx) (*einsum, error) {
	eq := strings.ReplaceAll(c.AttrString("equation", ""), " ", "")
	left, right, explicit := strings.Cut(eq, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(c.In) {
		return nil, badNode(c, "equation %q has %d terms for %d inputs", eq, len(terms), len(c.In))
	}
	e := &einsum{size: map[int]int{}}
	wide := 0 // dimensions of the widest ellipsis
	for i, term := range terms {
		dots, err := e.addTerm(c, i, term)
		if err != nil {
			return nil, err
		}
		wide = max(wide, dots)
	}
	if !explicit {
		right = impliedResult(left, wide > 0)
	}
	rank := len(strings.ReplaceAll(right, "...", ""))
	if strings.Contains(right, "...") {
		rank += wide
	}
	out, _, why := termLabels(right, rank)
	if why != "" {
		return nil, badNode(c, "equation %q: %s", eq, why)
	}
	e.out = out
	return e, e.checkOut(c, eq)
}

// addTerm enters the labels and sizes of operand i and returns how many dimensions its ellipsis stands for.
func (e *einsum) addTerm(c *NodeCtx, i int, term string) (dots int, err error) {
	shape := c.In[i].Shape
	labels, dots, why := termLabels(term, len(shape))
	if why != "" {
		return 0, badInput(c, i, "of shape %v does not fit term %q: %s", shape, term, why)
	}
	e.in = append(e.in, labels)
	for d, l := range labels {
		n := shape[d]
		have, ok := e.size[l]
		if ok && have != n && have != 1 && n != 1 {
			return 0, badInput(c, i, "of shape %v contradicts the size %d of another operand in term %q", shape, have, term)
		}
		if !ok || have == 1 { // a size of 1 broadcasts
			e.size[l] = n
		}
	}
	return dots, nil
}

// checkOut requires distinct result labels that occur in an operand, and an index space that a loop can walk.
func (e *einsum) checkOut(c *NodeCtx, eq string) error {
	work := 1 // multiplications of the plain loop
	for _, n := range e.size {
		if n > 0 && work > maxElems*64/n {
			return c.Refuse("equation", "the index space of "+eq+" is too large")
		}
		work *= max(n, 1)
	}
	seen := map[int]bool{}
	for _, l := range e.out {
		if _, ok := e.size[l]; !ok || seen[l] {
			return badNode(c, "equation %q: a label of the result repeats or occurs in no operand", eq)
		}
		seen[l] = true
	}
	return nil
}

// termLabels returns the labels of one term for an operand of the given rank, and how many stand in its ellipsis.
func termLabels(term string, rank int) (labels []int, dots int, why string) {
	before, after, has := strings.Cut(term, "...")
	dots = rank - len(before) - len(after)
	if dots < 0 || dots > 0 && !has {
		return nil, 0, "the number of labels is not the rank"
	}
	for _, part := range []string{before, after} {
		for _, r := range []byte(part) {
			if r|0x20 < 'a' || r|0x20 > 'z' {
				return nil, 0, "labels are letters"
			}
		}
	}
	for _, r := range []byte(before) {
		labels = append(labels, int(r))
	}
	for i := range dots {
		labels = append(labels, ellipsisBase-dots+1+i)
	}
	for _, r := range []byte(after) {
		labels = append(labels, int(r))
	}
	return labels, dots, ""
}

// impliedResult lists the labels that occur once, in alphabetical order, after the ellipsis.
func impliedResult(left string, ellipsis bool) string {
	var count [128]int
	for _, r := range []byte(left) {
		if r < 128 {
			count[r]++
		}
	}
	out := ""
	if ellipsis {
		out = "..."
	}
	for r := byte('A'); r <= 'z'; r++ {
		if count[r] == 1 && (r <= 'Z' || r >= 'a') {
			out += string(rune(r))
		}
	}
	return out
}

func inferEinsum(c *NodeCtx) error {
	if err := checkArity(c, 1, maxRank, 1, 1); err != nil {
		return err
	}
	for i := range c.In {
		if !c.In[i].Present {
			return badInput(c, i, "is missing")
		}
	}
	if err := checkClass(c, 0, classNumber); err != nil {
		return err
	}
	if err := checkSameType(c, 0, len(c.In)); err != nil {
		return err
	}
	e, err := parseEinsum(c)
	if err != nil {
		return err
	}
	return out1(c, c.In[0].DType, e.sizes(e.out))
}

func (e *einsum) sizes(labels []int) []int {
	shape := make([]int, len(labels))
	for i, l := range labels {
		shape[i] = e.size[l]
	}
	return shape
}

func compileEinsum(c *NodeCtx) (Kernel, error) {
	e, err := parseEinsum(c)
	if err != nil {
		return Kernel{}, err
	}
	if c.Out[0].Elems() == 0 {
		return run(func(*Frame) {}), nil
	}
	if storage(c.In[0].DType) == tensor.F32 {
		if k, ok := e.asProduct(c); ok {
			return k, nil
		}
	}
	switch storage(c.In[0].DType) {
	case tensor.F32:
		return plainEinsum[float32](c, e), nil
	case tensor.F64:
		return plainEinsum[float64](c, e), nil
	case tensor.I32:
		return plainEinsum[int32](c, e), nil
	case tensor.I64:
		return plainEinsum[int64](c, e), nil
	}
	return Kernel{}, c.Refuse("", "element type "+c.In[0].DType.String())
}

// strideOf returns operand i's stride for every label of labels; repeated labels walk a diagonal, size-1 dimensions
// broadcast.
func (e *einsum) strideOf(i int, shape, labels []int) []int {
	out := make([]int, len(labels))
	str := rowStrides(shape)
	for k, l := range labels {
		for d, have := range e.in[i] {
			if have == l && shape[d] != 1 {
				out[k] += str[d]
			}
		}
	}
	return out
}

// plainEinsum sums the product of all operands over every index: the definition.
func plainEinsum[T number](c *NodeCtx, e *einsum) Kernel {
	labels := append([]int{}, e.out...)
	inner := 1
	for _, terms := range e.in {
		for _, l := range terms {
			if !containsInt(labels, l) {
				labels = append(labels, l)
				inner *= e.size[l]
			}
		}
	}
	dims := e.sizes(labels)
	nOut := len(e.out)
	strides := make([][]int, len(c.In))
	for i := range c.In {
		strides[i] = e.strideOf(i, c.In[i].Shape, labels)
	}
	return run(func(f *Frame) {
		dst := view[T](f.Out[0])
		ops := make([][]T, len(f.In))
		for i := range ops {
			ops[i] = view[T](f.In[i])
		}
		rowTasks(f.Pool, len(dst), inner*len(ops), func(lo, hi int) {
			for r := lo; r < hi; r++ {
				var sum T
				for k := range inner {
					v := T(1)
					for i, x := range ops {
						v *= x[offsetOf(r, dims[:nOut], strides[i][:nOut])+offsetOf(k, dims[nOut:], strides[i][nOut:])]
					}
					sum += v
				}
				dst[r] = sum
			}
		})
	})
}

func containsInt(s []int, v int) bool {
	for _, x := range s {
		if x == v {
			return true
		}
	}
	return false
}

// asProduct turns a one-operand permutation into a transpose and a two-operand contraction into transposes around one
// batched matrix product. ok is false for equations with diagonals, broadcasts or labels summed in one operand alone.
func (e *einsum) asProduct(c *NodeCtx) (k Kernel, ok bool) {
	if len(e.in) == 1 {
		perm, ok := permutation(e.in[0], e.out)
		if !ok {
			return k, false
		}
		return transposeKernel(c.In[0].DType, c.In[0].Shape, perm), true
	}
	if len(e.in) != 2 || !e.regular(c) {
		return k, false
	}
	a, b := e.in[0], e.in[1]
	var batch, m, n, sum []int
	for _, l := range a {
		switch inB, inOut := containsInt(b, l), containsInt(e.out, l); {
		case inB && inOut:
			batch = append(batch, l)
		case inB:
			sum = append(sum, l)
		case inOut:
			m = append(m, l)
		default:
			return k, false
		}
	}
	for _, l := range b {
		if containsInt(a, l) {
			continue
		}
		if !containsInt(e.out, l) {
			return k, false
		}
		n = append(n, l)
	}
	return e.contract(c, batch, m, n, sum), true
}

// regular reports whether no operand repeats a label and all sizes agree without broadcasting.
func (e *einsum) regular(c *NodeCtx) bool {
	for i, labels := range e.in {
		for d, l := range labels {
			if e.size[l] == 0 || c.In[i].Shape[d] != e.size[l] || containsInt(labels[:d], l) {
				return false
			}
		}
	}
	return true
}

// permutation finds perm with to[i] = from[perm[i]].
func permutation(from, to []int) ([]int, bool) {
	if len(from) != len(to) {
		return nil, false
	}
	perm := make([]int, len(to))
	for i, l := range to {
		at := -1
		for d, have := range from {
			if have == l && at >= 0 {
				return nil, false
			}
			if have == l {
				at = d
			}
		}
		if at < 0 {
			return nil, false
		}
		perm[i] = at
	}
	return perm, true
}

// contract computes [batch, m, sum]·[batch, sum, n] and brings the result into order. Operands and result that already
// lie that way are used in place.
func (e *einsum) contract(c *NodeCtx, batch, m, n, sum []int) Kernel {
	join := func(lists ...[]int) []int {
		var out []int
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	permA, _ := permutation(e.in[0], join(batch, m, sum))
	permB, _ := permutation(e.in[1], join(batch, sum, n))
	permC, _ := permutation(join(batch, m, n), e.out)
	p := &product{m: numElems(e.sizes(m)), n: numElems(e.sizes(n)), k: numElems(e.sizes(sum))}
	for i := range numElems(e.sizes(batch)) {
		p.offA, p.offB = append(p.offA, i*p.m*p.k), append(p.offB, i*p.k*p.n)
	}
	var parts scratchParts
	bufA := parts.need(permA, c.In[0].Elems())
	bufB := parts.need(permB, c.In[1].Elems())
	bufC := parts.need(permC, c.Out[0].Elems())
	own := kernel.GemmScratch(max(1, c.Threads), p.m, p.n, p.k, false, false)
	shapeA, shapeB, shapeC := c.In[0].Shape, c.In[1].Shape, e.sizes(join(batch, m, n))
	return Kernel{Scratch: own + parts.total, Flops: p.flops(), Run: func(f *Frame) error {
		rest := f.Scratch[own:]
		a := bufA.permuted(f.Pool, rest, view[float32](f.In[0]), shapeA, permA)
		b := bufB.permuted(f.Pool, rest, view[float32](f.In[1]), shapeB, permB)
		out := view[float32](f.Out[0])
		dst := out
		if bufC.used {
			dst = bufC.of(rest)
		}
		p.multiply(f.Pool, f.Scratch[:own], dst, a, b)
		if bufC.used {
			kernel.Transpose(f.Pool, out, dst, shapeC, permC)
		}
		return nil
	}}
}

// scratchParts hands out consecutive pieces of a kernel's scratch.
type scratchParts struct{ total int }

type scratchPart struct {
	used  bool
	at, n int
}

// need reserves n elements unless perm changes nothing.
func (s *scratchParts) need(perm []int, n int) scratchPart {
	for i, p := range perm {
		if i != p {
			s.total += n
			return scratchPart{true, s.total - n, n}
		}
	}
	return scratchPart{}
}

func (s scratchPart) of(scratch []float32) []float32 { return scratch[s.at:][:s.n] }

func (s scratchPart) permuted(p *kernel.Pool, scratch, src []float32, shape, perm []int) []float32 {
	if !s.used {
		return src
	}
	dst := s.of(scratch)
	kernel.Transpose(p, dst, src, shape, perm)
	return dst
}
