package graph

import (
	"math"

	"winnow/internal/kernel"
	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "Attention", Since: 23, Infer: inferAttention, Compile: compileAttention, VJP: attentionVJP})
}

// onnxAttention plans the standard operator: [B,H,S,D] operands, or [B,S,H·D] with q_num_heads and kv_num_heads. Fewer
// key heads than query heads serve groups of neighbouring query heads.
func onnxAttention(c *NodeCtx) (*attentionPlan, int, error) {
	qh, kvh := headCount(c, "q_num_heads"), headCount(c, "kv_num_heads")
	var ops [3]headed
	for i, heads := range []int{qh, kvh, kvh} {
		layout := layoutBHSD
		if len(c.In[i].Shape) == 3 {
			layout = layoutBSHD
		}
		h, ok := headsOf(c.In[i].Shape, layout, heads)
		if !ok || len(c.In[i].Shape) != len(c.In[0].Shape) {
			return nil, 0, badInput(c, i, "of shape %v does not hold %d heads", c.In[i].Shape, heads)
		}
		ops[i] = h
	}
	q, k, v := ops[0], ops[1], ops[2]
	if k.batch != q.batch || v.batch != q.batch || v.heads != k.heads || k.dim != q.dim || k.tokens != v.tokens ||
		k.heads == 0 || q.heads%k.heads != 0 {
		return nil, 0, badNode(c, "query %v, key %v and value %v do not fit together", c.In[0].Shape, c.In[1].Shape, c.In[2].Shape)
	}
	p := &attentionPlan{spec: kernel.AttentionSpec{
		Batch: q.batch, Heads: q.heads, Sq: q.tokens, Sk: k.tokens, D: q.dim, Dv: v.dim,
		QStride: q.strides, KStride: k.strides, VStride: v.strides,
		Scale: c.AttrFloat("scale", 0), Causal: c.AttrInt("is_causal", 0) != 0,
	}}
	if len(c.In[0].Shape) == 3 {
		p.shape = []int{q.batch, q.tokens, q.heads * v.dim}
		p.spec.OStride = [3]int{q.heads * q.tokens * v.dim, v.dim, q.heads * v.dim}
	} else {
		p.shape = []int{q.batch, q.heads, q.tokens, v.dim}
		p.spec.OStride = [3]int{q.heads * q.tokens * v.dim, q.tokens * v.dim, v.dim}
	}
	return p, k.heads, nil
}

func headCount(c *NodeCtx, attr string) int { return int(min(max(c.AttrInt(attr, 0), 0), maxElems)) }

func inferAttention(c *NodeCtx) error {
	if err := checkArity(c, 3, 7, 1, 4); err != nil {
		return err
	}
	for i := range 3 {
		if storage(c.In[i].DType) != tensor.F32 {
			return c.Refuse("", "input of type "+c.In[i].DType.String())
		}
	}
	if needsCached(c) {
		a, err := planCached(c)
		if err != nil {
			return err
		}
		return setOut(c, Type{c.In[0].DType, a.shape}, a.presentK, a.presentV, a.scores)
	}
	p, _, err := onnxAttention(c)
	if err != nil {
		return err
	}
	if err := checkAttentionMask(c, p); err != nil {
		return err
	}
	return out1(c, c.In[0].DType, p.shape)
}

func checkAttentionMask(c *NodeCtx, p *attentionPlan) error {
	if !c.Has(3) {
		return nil
	}
	if dt := c.In[3].DType; dt != tensor.Bool && storage(dt) != tensor.F32 {
		return c.Refuse("", "mask of type "+dt.String())
	}
	return checkMask(c, 3, &p.spec)
}

func compileAttention(c *NodeCtx) (Kernel, error) {
	if needsCached(c) {
		return compileCached(c)
	}
	p, kvHeads, err := onnxAttention(c)
	if err != nil {
		return Kernel{}, err
	}
	if k, ok := emptyAttention(p); ok {
		return k, nil
	}
	spec, mask := p.spec, maskPlan{}
	hasMask, boolMask, maskElems := c.Has(3), false, 0
	if hasMask {
		mask = newMaskPlan(c.In[3].Shape, spec.Sk)
		spec.MaskStride = mask.strides
		if boolMask = c.In[3].DType == tensor.Bool; boolMask {
			maskElems = c.In[3].Elems()
		}
	}
	own := kernel.AttentionScratch(max(1, c.Threads), spec)
	k := Kernel{Scratch: own + mask.size + maskElems, Flops: attentionFlops(spec)}
	k.Run = func(f *Frame) error {
		s, rest := spec, f.Scratch[own:]
		if hasMask {
			m := optional[float32](f, 3)
			if boolMask {
				m = rest[mask.size:][:maskElems]
				additive(m, view[bool](f.In[3]))
			}
			s.Mask = mask.values(m, rest)
		}
		groupedAttention(f, f.Scratch[:own], s, kvHeads)
		if hasMask {
			clearUnseeing(view[float32](f.Out[0]), s)
		}
		return nil
	}
	return k, nil
}

// additive turns "may be seen" into what is added to the scores.
func additive(dst []float32, seen []bool) {
	for i, ok := range seen {
		dst[i] = 0
		if !ok {
			dst[i] = float32(math.Inf(-1))
		}
	}
}

// groupedAttention runs one call per key head when several query heads share it.
func groupedAttention(f *Frame, scratch []float32, s kernel.AttentionSpec, kvHeads int) {
	dst, q, k, v := view[float32](f.Out[0]), view[float32](f.In[0]), view[float32](f.In[1]), view[float32](f.In[2])
	if kvHeads == s.Heads {
		kernel.Attention(f.Pool, scratch, dst, q, k, v, s)
		return
	}
	mask, per := s.Mask, s.Heads/kvHeads
	ks, vs := s.KStride[1], s.VStride[1]
	s.Heads, s.KStride[1], s.VStride[1] = per, 0, 0
	for g := range kvHeads {
		if mask != nil {
			s.Mask = mask[g*per*s.MaskStride[1]:]
		}
		kernel.Attention(f.Pool, scratch, dst[g*per*s.OStride[1]:], q[g*per*s.QStride[1]:], k[g*ks:], v[g*vs:], s)
	}
}

// clearUnseeing sets the result of queries that may see no key to 0, where a softmax over nothing gives NaN
// (ONNX operator Attention, fully masked rows).
func clearUnseeing(dst []float32, s kernel.AttentionSpec) {
	for b := range s.Batch {
		for h := range s.Heads {
			for i := range s.Sq {
				mask := s.Mask[b*s.MaskStride[0]+h*s.MaskStride[1]+i*s.MaskStride[2]:][:s.Sk]
				if s.Causal {
					mask = mask[:min(i+1, s.Sk)]
				}
				if !seesAny(mask) {
					clear(dst[b*s.OStride[0]+h*s.OStride[1]+i*s.OStride[2]:][:s.Dv])
				}
			}
		}
	}
}

func seesAny(mask []float32) bool {
	for _, v := range mask {
		if !math.IsInf(float64(v), -1) {
			return true
		}
	}
	return false
}
