package graph

import (
	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Attention", Domain: Domain, Since: 1, Infer: inferFusedAttention, Compile: compileFusedAttention, VJP: vjpFusedAttention})
}

// headed describes how one operand of attention lies in memory: sizes and the strides of batch, head and token. The
// channel stride is 1.
type headed struct {
	batch, heads, tokens, dim int
	strides                   [3]int
}

// headsOf reads a shape under a layout. heads is needed for [B, S, H·D] only.
func headsOf(shape []int, layout string, heads int) (h headed, ok bool) {
	switch {
	case layout == layoutBHSD && len(shape) == 4:
		h.batch, h.heads, h.tokens, h.dim = shape[0], shape[1], shape[2], shape[3]
		h.strides = [3]int{h.heads * h.tokens * h.dim, h.tokens * h.dim, h.dim}
		return h, true
	case layout == layoutBSHD && len(shape) == 4:
		h.batch, h.tokens, h.heads, h.dim = shape[0], shape[1], shape[2], shape[3]
	case layout == layoutBSHD && len(shape) == 3 && heads > 0 && shape[2]%heads == 0:
		h.batch, h.tokens, h.heads, h.dim = shape[0], shape[1], heads, shape[2]/heads
	default:
		return h, false
	}
	h.strides = [3]int{h.tokens * h.heads * h.dim, h.dim, h.heads * h.dim}
	return h, true
}

// attentionPlan is a checked attention node: geometry, and the result's shape.
type attentionPlan struct {
	spec  kernel.AttentionSpec
	shape []int
}

func fusedAttentionPlan(c *NodeCtx) (*attentionPlan, error) {
	heads := int(min(max(c.AttrInt("num_heads", 0), 0), maxElems))
	var ops [3]headed
	for i, attr := range []string{"q_layout", "k_layout", "v_layout"} {
		layout := c.AttrString(attr, layoutBHSD)
		h, ok := headsOf(c.In[i].Shape, layout, heads)
		if !ok {
			return nil, badInput(c, i, "of shape %v does not have layout %q with %d heads", c.In[i].Shape, layout, heads)
		}
		ops[i] = h
	}
	q, k, v := ops[0], ops[1], ops[2]
	if k.batch != q.batch || v.batch != q.batch || k.heads != q.heads || v.heads != q.heads ||
		k.dim != q.dim || k.tokens != v.tokens {
		return nil, badNode(c, "query %v, key %v and value %v do not fit together", c.In[0].Shape, c.In[1].Shape, c.In[2].Shape)
	}
	p := &attentionPlan{spec: kernel.AttentionSpec{
		Batch: q.batch, Heads: q.heads, Sq: q.tokens, Sk: k.tokens, D: q.dim, Dv: v.dim,
		QStride: q.strides, KStride: k.strides, VStride: v.strides,
		Scale: c.AttrFloat("scale", 0), Causal: c.AttrInt("causal", 0) != 0,
	}}
	switch layout := c.AttrString("o_layout", layoutBHSD); layout {
	case layoutBHSD:
		p.shape = []int{q.batch, q.heads, q.tokens, v.dim}
		p.spec.OStride = [3]int{q.heads * q.tokens * v.dim, q.tokens * v.dim, v.dim}
	case layoutBSHD:
		p.shape = []int{q.batch, q.tokens, q.heads * v.dim}
		p.spec.OStride = [3]int{q.heads * q.tokens * v.dim, v.dim, q.heads * v.dim}
	default:
		return nil, c.Refuse("o_layout", "no layout is called "+layout)
	}
	return p, nil
}

func inferFusedAttention(c *NodeCtx) error {
	if err := checkArity(c, 3, 4, 1, 2); err != nil {
		return err
	}
	if err := checkFloat32(c); err != nil {
		return err
	}
	p, err := fusedAttentionPlan(c)
	if err != nil {
		return err
	}
	if c.Has(3) {
		if err := checkMask(c, 3, &p.spec); err != nil {
			return err
		}
	}
	return setOut(c, Type{c.In[0].DType, p.shape}, Type{tensor.F32, []int{p.spec.Batch, p.spec.Heads, p.spec.Sq}})
}

// checkMask requires input i to broadcast to [Batch, Heads, Sq, Sk].
func checkMask(c *NodeCtx, i int, s *kernel.AttentionSpec) error {
	full := []int{s.Batch, s.Heads, s.Sq, s.Sk}
	if got, ok := broadcastShape(full, c.In[i].Shape); !ok || !equalShape(got, full) {
		return badInput(c, i, "of shape %v does not broadcast to scores of shape %v", c.In[i].Shape, full)
	}
	return nil
}

// maskPlan prepares an additive mask for the kernel, which wants stride 1 along the keys: a mask that is constant along
// the keys is spread into scratch first.
type maskPlan struct {
	strides [3]int
	spread  *bcast // nil: used in place
	size    int    // scratch elements when spread
}

func newMaskPlan(shape []int, sk int) maskPlan {
	dims := append(append([]int{}, []int{1, 1, 1, 1}[:max(0, 4-len(shape))]...), shape...)
	m := maskPlan{}
	if dims[3] != sk {
		wide := append(append([]int{}, dims[:3]...), sk)
		m.spread, m.size = newBcast(wide, dims), numElems(wide)
		dims = wide
	}
	str := rowStrides(dims)
	for i := range m.strides {
		if dims[i] > 1 {
			m.strides[i] = str[i]
		}
	}
	return m
}

// values returns the mask as the kernel reads it.
func (m *maskPlan) values(mask, scratch []float32) []float32 {
	if m.spread == nil {
		return mask
	}
	scaleRows(m.spread, scratch[:m.size], mask, 1)
	return scratch[:m.size]
}

// masked prepares input 3 as the mask, if there is one: masked completes the spec for a call, with size elements of scratch.
func (p *attentionPlan) masked(c *NodeCtx) (size int, masked func(f *Frame, scratch []float32) kernel.AttentionSpec) {
	spec := p.spec
	if !c.Has(3) {
		return 0, func(*Frame, []float32) kernel.AttentionSpec { return spec }
	}
	mask := newMaskPlan(c.In[3].Shape, spec.Sk)
	spec.MaskStride = mask.strides
	return mask.size, func(f *Frame, scratch []float32) kernel.AttentionSpec {
		s := spec
		s.Mask = mask.values(view[float32](f.In[3]), scratch)
		return s
	}
}

func compileFusedAttention(c *NodeCtx) (Kernel, error) {
	p, err := fusedAttentionPlan(c)
	if err != nil {
		return Kernel{}, err
	}
	if k, ok := emptyAttention(p); ok {
		return k, nil
	}
	own := kernel.AttentionScratch(max(1, c.Threads), p.spec)
	size, masked := p.masked(c)
	return Kernel{Scratch: own + size, Flops: attentionFlops(p.spec), Run: func(f *Frame) error {
		s := masked(f, f.Scratch[own:])
		var lse []float32
		if len(f.Out) > 1 {
			lse = view[float32](f.Out[1])
		}
		kernel.AttentionSum(f.Pool, f.Scratch[:own], view[float32](f.Out[0]), lse, view[float32](f.In[0]), view[float32](f.In[1]),
			view[float32](f.In[2]), s)
		return nil
	}}, nil
}

// emptyAttention serves attention without a result, without keys or without channels to compare: zeros.
func emptyAttention(p *attentionPlan) (k Kernel, ok bool) {
	if numElems(p.shape) > 0 && p.spec.Sk > 0 && p.spec.D > 0 {
		return k, false
	}
	return run(func(f *Frame) {
		for _, o := range f.Out {
			clear(o.Data)
		}
	}), true
}

func attentionFlops(s kernel.AttentionSpec) float64 {
	return 2 * float64(s.Batch) * float64(s.Heads) * float64(s.Sq) * float64(s.Sk) * float64(s.D+s.Dv)
}
