package graph

import (
	"slices"

	"winnow/internal/tensor"
)

// fuseAttention recognises softmax(q·kᵀ·scale + mask)·v, with the scale before or after the first product or on both of
// its operands, an additive mask or a Where with a very negative number, and three or four dimensions.
func fuseAttention(p *ir) int {
	return p.each(func(n *irNode) bool {
		if n.is("Attention") {
			return p.standardAttention(n)
		}
		if !n.is("MatMul") {
			return false
		}
		m := attnMatch{p: p, root: n, scale: 1}
		return m.match() && m.rewrite()
	})
}

// attnMatch collects the parts of one attention.
type attnMatch struct {
	p       *ir
	root    *irNode // the product with v
	q, k, v ValueID // k still transposed: [..., D, Sk]
	masks   []attnMask
	scale   float64
}

// attnMask is one mask of the scores: a tensor that is added, or the Where that replaces masked scores.
type attnMask struct {
	add   ValueID
	where *irNode
}

// maxMasks bounds the masks of one attention; a relative position bias and a padding mask are what exports have.
const maxMasks = 3

func (m *attnMatch) match() bool {
	p := m.p
	m.v = m.root.Inputs[1]
	soft := p.softmax(m.root.Inputs[0])
	if soft == nil {
		return false
	}
	if rank := len(p.shape(m.v)); rank != 3 && rank != 4 || len(p.shape(soft.Inputs[0])) != rank {
		return false
	}
	return m.scores(soft.Inputs[0])
}

// softmax finds a softmax over the last axis behind casts and behind the guard that replaces NaN of fully masked rows.
func (p *ir) softmax(id ValueID) *irNode {
	id = p.skipCast(id)
	if w := p.def(id, "Where"); w != nil {
		guard := p.def(w.Inputs[0], "IsNaN")
		if guard == nil || guard.Inputs[0] != w.Inputs[2] || !p.allEqual(w.Inputs[1], 0) {
			return nil
		}
		id = p.skipCast(w.Inputs[2])
	}
	n := p.def(id, "Softmax")
	if n == nil {
		return nil
	}
	def := -1
	if n.Opset < 13 {
		def = 1
	}
	if axis := n.attrInt("axis", def); axis != -1 && axis != len(p.shape(id))-1 {
		return nil
	}
	return n
}

// scores walks from the softmax back to the first product.
func (m *attnMatch) scores(id ValueID) bool {
	p := m.p
	for range 8 + maxMasks {
		id = p.skipCast(id)
		if n := p.def(id, "MatMul"); n != nil {
			return m.product(n)
		}
		if x, c := p.scaled(id); c != 1 {
			m.scale *= c
			id = x
			continue
		}
		x, ok := m.masked(id)
		if !ok {
			return false
		}
		id = x
	}
	return false
}

// masked takes one mask off. A scale outside of the mask would scale the mask too and is not followed.
func (m *attnMatch) masked(id ValueID) (ValueID, bool) {
	p := m.p
	if len(m.masks) == maxMasks || m.scale != 1 {
		return None, false
	}
	if n := p.def(id, "Add"); n != nil {
		for i := range 2 {
			if slices.Equal(p.shape(n.Inputs[i]), p.shape(id)) && p.leadsToProduct(n.Inputs[i], maxMasks-1) {
				m.masks = append(m.masks, attnMask{add: n.Inputs[1-i]})
				return n.Inputs[i], true
			}
		}
	}
	n := p.def(id, "Where")
	if n == nil {
		return None, false
	}
	for i := 1; i <= 2; i++ {
		v, ok := p.scalar(n.Inputs[3-i])
		if ok && v <= -1e9 && slices.Equal(p.shape(n.Inputs[i]), p.shape(id)) && p.leadsToProduct(n.Inputs[i], maxMasks-1) {
			m.masks = append(m.masks, attnMask{where: n})
			return n.Inputs[i], true
		}
	}
	return None, false
}

// leadsToProduct reports whether a product made the scores that a value holds, behind scales and up to depth masks.
func (p *ir) leadsToProduct(id ValueID, depth int) bool {
	for range 4 {
		id = p.skipCast(id)
		if p.def(id, "MatMul") != nil {
			return true
		}
		x, c := p.scaled(id)
		if c == 1 {
			break
		}
		id = x
	}
	n := p.val(id).def
	if depth == 0 || n == nil || !n.is("Add") && !n.is("Where") {
		return false
	}
	return slices.ContainsFunc(n.Inputs, func(in ValueID) bool {
		return slices.Equal(p.shape(in), p.shape(id)) && p.leadsToProduct(in, depth-1)
	})
}

func (m *attnMatch) product(n *irNode) bool {
	p := m.p
	if !p.single(n.Outputs[0]) {
		return false
	}
	for _, in := range []struct {
		id   ValueID
		into *ValueID
	}{{n.Inputs[0], &m.q}, {n.Inputs[1], &m.k}} {
		x, c := p.scaled(p.skipCast(in.id))
		m.scale *= c
		*in.into = p.skipCast(x)
	}
	q, k, v := p.shape(m.q), p.shape(m.k), p.shape(m.v)
	if len(q) != len(v) || len(k) != len(v) {
		return false
	}
	lead := len(v) - 2
	return slices.Equal(q[:lead], k[:lead]) && slices.Equal(q[:lead], v[:lead])
}

// rewrite puts the fused operator in place of the second product.
func (m *attnMatch) rewrite() bool {
	p, want := m.p, m.p.val(m.root.Outputs[0]).typ.DType
	for _, id := range []*ValueID{&m.q, &m.k, &m.v} {
		*id = p.asType(*id, want)
	}
	k, ok := p.transposeLast(m.root, m.k)
	if !ok {
		return false
	}
	m.k = k
	mask, ok := m.additive()
	if !ok {
		return false
	}
	if len(p.shape(m.q)) == 4 {
		return p.replace(m.root, m.spec(m.q, m.k, m.v, mask, p.shape(m.q)[1], layoutBHSD))
	}
	return m.rewriteFlat(mask)
}

// rewriteFlat handles [B·H,S,D] operands: as heads when reshapes of [B,H,S,D] made them, else as batches of one head.
func (m *attnMatch) rewriteFlat(mask ValueID) bool {
	p := m.p
	q, k, v := p.unflattened(m.q), p.unflattened(m.k), p.unflattened(m.v)
	if q == None || k == None || v == None || mask != None || !slices.Equal(p.shape(q)[:2], p.shape(k)[:2]) {
		if mask != None && len(p.shape(mask)) == 3 {
			s := p.shape(mask)
			var ok bool
			if mask, ok = p.insertBefore(m.root, p.reshapeSpec(mask, []int{s[0], 1, s[1], s[2]})); !ok {
				return false
			}
		}
		return p.replace(m.root, m.spec(m.q, m.k, m.v, mask, 1, layoutBSHD))
	}
	out, ok := p.insertBefore(m.root, m.spec(q, k, v, None, p.shape(q)[1], layoutBHSD))
	return ok && p.reshapeTo(m.root, out)
}

func (m *attnMatch) spec(q, k, v, mask ValueID, heads int, layout string) spec {
	l := StringAttr(layout)
	return spec{op: "winnow.Attention", inputs: []ValueID{q, k, v, mask}, attrs: map[string]Attr{
		"num_heads": IntAttr(heads), "scale": FloatAttr(float32(m.scale)), "causal": IntAttr(0),
		"q_layout": l, "k_layout": l, "v_layout": l, "o_layout": l,
	}}
}

// unflattened returns the [B,H,S,D] source of a [B·H,S,D] reshape, None if there is none.
func (p *ir) unflattened(id ValueID) ValueID {
	n := p.viewOf(id)
	if n == nil {
		return None
	}
	s, t := p.shape(n.Inputs[0]), p.shape(id)
	if len(s) != 4 || s[0]*s[1] != t[0] || s[2] != t[1] || s[3] != t[2] {
		return None
	}
	return n.Inputs[0]
}

// additive returns the sum of the masks as a tensor to add, None without masks.
func (m *attnMatch) additive() (ValueID, bool) {
	sum := None
	for _, k := range m.masks {
		id, ok := m.additiveMask(k)
		if !ok {
			return None, false
		}
		if sum != None {
			if id, ok = m.p.insertBefore(m.root, spec{op: "Add", inputs: []ValueID{sum, id}}); !ok {
				return None, false
			}
		}
		sum = id
	}
	return sum, true
}

// additiveMask returns one mask as a float tensor, making it from a Where's condition.
func (m *attnMatch) additiveMask(k attnMask) (ValueID, bool) {
	p := m.p
	if k.where == nil {
		return k.add, p.val(k.add).typ.Storage() == tensor.F32
	}
	typ := p.val(k.where.Outputs[0]).typ.DType
	zero := p.addConst("zero", tensor.FromF32([]float32{0}))
	p.vals[zero].typ.DType = typ
	in := slices.Clone(k.where.Inputs)
	for i := 1; i <= 2; i++ {
		if _, ok := p.scalar(in[i]); !ok {
			in[i] = zero
		}
	}
	return p.insertBefore(m.root, spec{op: "Where", inputs: in})
}

// asType returns a value of the wanted element type: the value itself, a form of it behind a cast, or the value when
// neither exists (the rewrite then fails on the type).
func (p *ir) asType(id ValueID, want tensor.DType) ValueID {
	if p.val(id).typ.DType == want {
		return id
	}
	for _, u := range p.users(id) {
		if u.is("Cast") && p.val(u.Outputs[0]).typ.DType == want {
			return u.Outputs[0]
		}
	}
	return p.withType(id, want)
}

// transposeLast returns a value whose last two axes are swapped against id, undoing a Transpose where one made id.
func (p *ir) transposeLast(at *irNode, id ValueID) (ValueID, bool) {
	rank := len(p.shape(id))
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = i
	}
	src := id
	if n := p.def(id, "Transpose"); n != nil {
		src, perm = n.Inputs[0], slices.Clone(p.perm(n))
	}
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	if slices.IsSorted(perm) {
		return src, true
	}
	return p.insertBefore(at, spec{op: "Transpose", attrs: map[string]Attr{"perm": IntsAttr(perm...)}, inputs: []ValueID{src}})
}

// standardAttention turns the operator of opset 23 into ours where it uses nothing beyond ours.
func (p *ir) standardAttention(n *irNode) bool {
	if len(n.Outputs) != 1 || needsCached(p.context(n)) {
		return false
	}
	q, k, v := p.shape(n.Inputs[0]), p.shape(n.Inputs[1]), p.shape(n.Inputs[2])
	layout, heads := layoutBHSD, 0
	switch {
	case len(q) == 4 && len(k) == 4 && len(v) == 4 && q[1] == k[1] && q[1] == v[1]:
		heads = q[1]
	case len(q) == 3 && n.attrInt("q_num_heads", 0) == n.attrInt("kv_num_heads", -1):
		layout, heads = layoutBSHD, n.attrInt("q_num_heads", 0)
	}
	mask := n.in(3)
	if heads <= 0 || mask != None && p.val(mask).typ.Storage() != tensor.F32 || n.attrInt("is_causal", 0) != 0 && mask != None {
		return false
	}
	l := StringAttr(layout)
	attrs := map[string]Attr{
		"num_heads": IntAttr(heads), "causal": IntAttr(n.attrInt("is_causal", 0)),
		"q_layout": l, "k_layout": l, "v_layout": l, "o_layout": l,
	}
	if a, ok := n.Attrs["scale"]; ok && a.Kind == AttrFloat {
		attrs["scale"] = a
	}
	return p.replace(n, spec{op: "winnow.Attention", attrs: attrs, inputs: []ValueID{n.Inputs[0], n.Inputs[1], n.Inputs[2], mask}})
}
