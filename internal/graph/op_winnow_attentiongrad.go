package graph

import (
	"math"
	"slices"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "AttentionGrad", Domain: Domain, Since: 1, Infer: inferAttentionGrad, Compile: compileAttentionGrad})
}

// vjpFusedAttention goes back through one node that recomputes the scores. The forward node gets a second output for it.
func vjpFusedAttention(b *Backward) error {
	if b.Needs(3) {
		return vjpAttentionPlain(b)
	}
	p, err := fusedAttentionPlan(b.NodeCtx)
	if err != nil {
		return err
	}
	var skip []int
	for i := range 3 {
		if !b.Needs(i) {
			skip = append(skip, i)
		}
	}
	attrs := withAttr(b.Node.Attrs, "skip", IntsAttr(skip...))
	lse := b.AddOutput(Type{b.Out[0].DType, []int{p.spec.Batch, p.spec.Heads, p.spec.Sq}})
	grads := b.OpN("winnow.AttentionGrad", attrs, 3, b.X(0), b.X(1), b.X(2), b.X(3), b.Y(0), lse, b.G(0))
	for i, g := range grads {
		b.Give(i, g)
	}
	return nil
}

// vjpAttentionPlain spells the gradient out; it is the only form that reaches the mask.
func vjpAttentionPlain(b *Backward) error {
	p, err := fusedAttentionPlan(b.NodeCtx)
	if err != nil {
		return err
	}
	h := p.spec.Heads
	a := plainAttention{
		q: b.heads(b.X(0), "q_layout", h), k: b.heads(b.X(1), "k_layout", h), v: b.heads(b.X(2), "v_layout", h),
		g: b.heads(b.G(0), "o_layout", h), mask: b.X(3), seen: None, causal: p.spec.Causal, scale: float64(p.spec.Scale),
	}
	dq, dk, dv, dmask := a.gradients(b)
	b.Give(0, b.unheads(dq, "q_layout", b.In[0].Shape))
	b.Give(1, b.unheads(dk, "k_layout", b.In[1].Shape))
	b.Give(2, b.unheads(dv, "v_layout", b.In[2].Shape))
	b.Give(3, dmask)
	return nil
}

// futureMask is −Inf where a key comes after its query and 0 elsewhere.
func futureMask(queries, keys int) tensor.Tensor {
	t := tensor.New(tensor.F64, queries, keys)
	for i := range queries {
		for j := i + 1; j < keys; j++ {
			t.F64()[i*keys+j] = math.Inf(-1)
		}
	}
	return t
}

// heads brings an operand of attention to [B, H, S, D].
func (b *Backward) heads(x ValueID, layout string, heads int) ValueID {
	if b.AttrString(layout, layoutBHSD) == layoutBHSD {
		return x
	}
	s := b.Shape(x)
	if len(s) == 3 {
		x = b.Reshape(x, s[0], s[1], heads, s[2]/heads)
	}
	return b.Transpose(x, 0, 2, 1, 3)
}

// unheads brings [B, H, S, D] back to an operand's own shape.
func (b *Backward) unheads(x ValueID, layout string, shape []int) ValueID {
	if b.AttrString(layout, layoutBHSD) == layoutBHSD {
		return x
	}
	return b.Reshape(b.Transpose(x, 0, 2, 1, 3), shape...)
}

func inferAttentionGrad(c *NodeCtx) error {
	if err := checkArity(c, 3, 7, 3, 3); err != nil {
		return err
	}
	for i := 4; i < 7; i++ {
		if !c.Has(i) {
			return badInput(c, i, "is missing")
		}
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
	for _, i := range []int{4, 6} {
		if err := checkShape(c, i, p.shape...); err != nil {
			return err
		}
	}
	if err := checkShape(c, 5, p.spec.Batch, p.spec.Heads, p.spec.Sq); err != nil {
		return err
	}
	return setOut(c, c.In[0].Type, c.In[1].Type, c.In[2].Type)
}

func compileAttentionGrad(c *NodeCtx) (Kernel, error) {
	p, err := fusedAttentionPlan(c)
	if err != nil {
		return Kernel{}, err
	}
	if k, ok := emptyAttention(p); ok {
		return k, nil
	}
	own := kernel.AttentionBackwardScratch(max(1, c.Threads), p.spec)
	size, masked := p.masked(c)
	skip, _ := c.AttrInts("skip")
	return Kernel{Scratch: own + size, Flops: 3.5 * attentionFlops(p.spec), Run: func(f *Frame) error {
		s := masked(f, f.Scratch[own:])
		var out [3][]float32
		for i := range out {
			if !slices.Contains(skip, int64(i)) {
				out[i] = view[float32](f.Out[i])
			}
		}
		kernel.AttentionBackward(f.Pool, f.Scratch[:own], s, kernel.AttentionGrad{
			Q: view[float32](f.In[0]), K: view[float32](f.In[1]), V: view[float32](f.In[2]), O: view[float32](f.In[4]),
			LSE: view[float32](f.In[5]), DO: view[float32](f.In[6]), DQ: out[0], DK: out[1], DV: out[2],
		})
		return nil
	}}, nil
}
