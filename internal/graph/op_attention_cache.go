package graph

import (
	"math"

	"winnow/internal/tensor"
)

// Inputs and outputs of Attention beside the operands and Y.
const (
	argMask, argPastKey, argPastValue, argLengths = 3, 4, 5, 6
	resultPastKey, resultPastValue, resultScores  = 1, 2, 3
)

// What output qk_matmul_output of Attention holds.
const (
	scoresRaw = iota
	scoresCapped
	scoresBiased
	scoresSoftmax
)

// cachedAttention is an Attention node with what decoders use: a key/value cache, padded keys, capped scores, sliding
// windows or scores as a result. It runs as plain loops; text-to-image networks take the other path.
type cachedAttention struct {
	*attentionPlan
	kvHeads, past, total int // total keys, the past ones included
	scale, softcap       float64
	left, right          int // window, -1: no bound
	mode                 int // of the scores
	mask                 [4]int
	maskKeys             int // keys that the mask covers; it is -Inf beyond
	presentK, presentV   Type
	scores               Type
}

// needsCached reports whether a node is beyond the fused path.
func needsCached(c *NodeCtx) bool {
	for i, id := range c.Node.Outputs {
		if i > 0 && id != None {
			return true
		}
	}
	if c.Has(argMask) {
		shape := c.In[argMask].Shape
		k := c.In[1].Shape
		if n := len(shape); n > 0 && len(k) > 1 && shape[n-1] != 1 && shape[n-1] < k[len(k)-2] {
			return true
		}
	}
	return c.Has(argPastKey) || c.Has(argPastValue) || c.Has(argLengths) || c.AttrFloat("softcap", 0) != 0 ||
		max(c.AttrInt("left_window_size", -1), c.AttrInt("right_window_size", -1)) >= 0
}

// planCached checks a node and completes its geometry.
func planCached(c *NodeCtx) (*cachedAttention, error) {
	p, kvHeads, err := onnxAttention(c)
	if err != nil {
		return nil, err
	}
	s := &p.spec
	a := &cachedAttention{
		attentionPlan: p, kvHeads: kvHeads, softcap: float64(c.AttrFloat("softcap", 0)),
		left: headWindow(c, "left_window_size"), right: headWindow(c, "right_window_size"),
		mode: int(c.AttrInt("qk_matmul_output_mode", 0)),
	}
	if a.scale = float64(s.Scale); a.scale == 0 {
		a.scale = 1 / math.Sqrt(float64(s.D))
	}
	if a.mode < scoresRaw || a.mode > scoresSoftmax {
		return nil, c.Refuse("qk_matmul_output_mode", "a mode beyond 0 to 3")
	}
	if c.Has(argPastKey) != c.Has(argPastValue) {
		return nil, badNode(c, "past_key and past_value belong together")
	}
	if c.Has(argPastKey) {
		if err := checkRank(c, argPastKey, 4, 4); err != nil {
			return nil, err
		}
		a.past = c.In[argPastKey].Shape[2]
	}
	if err := checkShape(c, argPastKey, s.Batch, kvHeads, a.past, s.D); err != nil {
		return nil, err
	}
	if err := checkShape(c, argPastValue, s.Batch, kvHeads, a.past, s.Dv); err != nil {
		return nil, err
	}
	if c.Has(argLengths) && (c.In[argLengths].DType != tensor.I64 || c.In[argLengths].Elems() != s.Batch) {
		return nil, badInput(c, argLengths, "is %v, want one int64 for each of %d samples", c.In[argLengths].Type, s.Batch)
	}
	a.total = a.past + s.Sk
	dt := c.In[0].DType
	a.presentK = Type{dt, []int{s.Batch, kvHeads, a.total, s.D}}
	a.presentV = Type{dt, []int{s.Batch, kvHeads, a.total, s.Dv}}
	a.scores = Type{dt, []int{s.Batch, s.Heads, s.Sq, a.total}}
	return a, a.planMask(c)
}

func headWindow(c *NodeCtx, attr string) int {
	return int(min(max(c.AttrInt(attr, -1), -1), math.MaxInt32))
}

// planMask finds the strides of the mask, which may cover the first keys only.
func (a *cachedAttention) planMask(c *NodeCtx) error {
	if !c.Has(argMask) {
		return nil
	}
	m := c.In[argMask]
	if m.DType != tensor.Bool && m.Storage() != tensor.F32 {
		return c.Refuse("", "mask of type "+m.DType.String())
	}
	n := len(m.Shape)
	full := append([]int{}, a.scores.Shape...)
	if n > 0 && m.Shape[n-1] > 1 && m.Shape[n-1] < a.total {
		full[3] = m.Shape[n-1]
	}
	got, ok := broadcastShape(full, m.Shape)
	if !ok || !equalShape(got, full) {
		return badInput(c, argMask, "of shape %v does not broadcast to scores of shape %v", m.Shape, a.scores.Shape)
	}
	a.maskKeys = full[3]
	strides := rowStrides(m.Shape)
	for i := range n {
		if m.Shape[i] > 1 {
			a.mask[4-n+i] = strides[i]
		}
	}
	return nil
}

func compileCached(c *NodeCtx) (Kernel, error) {
	a, err := planCached(c)
	if err != nil {
		return Kernel{}, err
	}
	nk, nv := numElems(a.presentK.Shape), numElems(a.presentV.Shape)
	k := Kernel{Scratch: nk + nv + max(1, c.Threads)*a.total, Flops: attentionFlops(a.spec)}
	k.Run = func(f *Frame) error {
		keys, values := f.Scratch[:nk], f.Scratch[nk:nk+nv]
		a.gather(f, keys, 1, argPastKey, a.spec.D, a.spec.KStride)
		a.gather(f, values, 2, argPastValue, a.spec.Dv, a.spec.VStride)
		for i, src := range map[int][]float32{resultPastKey: keys, resultPastValue: values} {
			if i < len(f.Out) {
				copy(view[float32](f.Out[i]), src)
			}
		}
		f.Pool.Run(a.spec.Batch*a.spec.Heads, func(worker, i int) {
			row := f.Scratch[nk+nv+worker*a.total:][:a.total]
			for q := range a.spec.Sq {
				a.query(f, keys, values, row, i/a.spec.Heads, i%a.spec.Heads, q)
			}
		})
		return nil
	}
	return k, nil
}

// gather joins the past keys (or values) with the new ones as [B, heads, total, dim].
func (a *cachedAttention) gather(f *Frame, dst []float32, in, past, dim int, stride [3]int) {
	src, old := view[float32](f.In[in]), optional[float32](f, past)
	for b := range a.spec.Batch {
		for h := range a.kvHeads {
			out := dst[(b*a.kvHeads+h)*a.total*dim:][:a.total*dim]
			n := copy(out, old[min(len(old), (b*a.kvHeads+h)*a.past*dim):][:a.past*dim])
			for t := range a.spec.Sk {
				copy(out[n+t*dim:][:dim], src[b*stride[0]+h*stride[1]+t*stride[2]:])
			}
		}
	}
}

// query computes one row of the result; row holds the scores.
func (a *cachedAttention) query(f *Frame, keys, values, row []float32, b, h, q int) {
	s := &a.spec
	kv := b*a.kvHeads + h/(s.Heads/a.kvHeads)
	query := view[float32](f.In[0])[b*s.QStride[0]+h*s.QStride[1]+q*s.QStride[2]:][:s.D]
	at := ((b*s.Heads+h)*s.Sq + q) * a.total
	for j := range row {
		row[j] = float32(dot64(query, keys[(kv*a.total+j)*s.D:][:s.D]) * a.scale)
	}
	a.show(f, scoresRaw, at, row)
	if a.softcap > 0 {
		for j, v := range row {
			row[j] = float32(math.Tanh(float64(v)/a.softcap) * a.softcap)
		}
	}
	a.show(f, scoresCapped, at, row)
	seen := false
	for j := range row {
		bias := a.bias(f, b, h, q, j)
		seen = seen || !math.IsInf(bias, -1)
		row[j] = float32(float64(row[j]) + bias)
	}
	a.show(f, scoresBiased, at, row)
	if seen {
		softmax64(row)
	} else { // no key may be seen: the operator defines the result as 0
		clear(row)
	}
	a.show(f, scoresSoftmax, at, row)
	out := view[float32](f.Out[0])[b*s.OStride[0]+h*s.OStride[1]+q*s.OStride[2]:][:s.Dv]
	for d := range out {
		sum := 0.0
		for j, p := range row {
			if p != 0 {
				sum += float64(p) * float64(values[(kv*a.total+j)*s.Dv+d])
			}
		}
		out[d] = float32(sum)
	}
}

// show copies the scores to output qk_matmul_output when the node wants them at this stage.
func (a *cachedAttention) show(f *Frame, stage, at int, row []float32) {
	if stage == a.mode && len(f.Out) > resultScores {
		copy(view[float32](f.Out[resultScores])[at:], row)
	}
}

// bias is what is added to the score of key j for query q: the mask, or -Inf for a key that may not be seen. The query's
// position among the keys follows from the past, or from the number of keys in use.
func (a *cachedAttention) bias(f *Frame, b, h, q, j int) float64 {
	offset, hidden := a.past, math.Inf(-1)
	if lengths := optional[int64](f, argLengths); lengths != nil {
		if int64(j) >= lengths[b] {
			return hidden
		}
		offset = int(lengths[b]) - a.spec.Sq
	}
	at := q + offset
	if a.spec.Causal && j > at || a.left >= 0 && j < at-a.left || a.right >= 0 && j > at+a.right {
		return hidden
	}
	if a.maskKeys == 0 {
		return 0
	}
	if j >= a.maskKeys {
		return hidden
	}
	m := f.In[argMask]
	i := b*a.mask[0] + h*a.mask[1] + q*a.mask[2] + j*a.mask[3]
	if m.DType != tensor.Bool {
		return float64(view[float32](m)[i])
	}
	if view[bool](m)[i] {
		return 0
	}
	return hidden
}

func dot64(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// softmax64 normalises a row that has a finite number.
func softmax64(row []float32) {
	most := math.Inf(-1)
	for _, v := range row {
		most = max(most, float64(v))
	}
	sum := 0.0
	for _, v := range row {
		sum += math.Exp(float64(v) - most)
	}
	for i, v := range row {
		row[i] = float32(math.Exp(float64(v)-most) / sum)
	}
}
