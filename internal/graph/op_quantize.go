package graph

import (
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "DequantizeLinear", Since: 10, Infer: inferDequantize, Compile: compileDequantize})
	Register(Operator{Name: "QuantizeLinear", Since: 10, Infer: inferQuantize, Compile: compileQuantize})
	Register(Operator{Name: "DynamicQuantizeLinear", Since: 11, Infer: inferDynamicQuantize, Compile: compileDynamicQuantize})
	Register(Operator{Name: "MatMulInteger", Since: 10, Infer: inferMatMulInteger, Compile: compileMatMulInteger})
}

// quantScale describes which scale belongs to an element: one for all, one per index along an axis, or one per block of
// neighbours along the axis.
type quantScale struct {
	n, inner, block, scales int
}

func planQuant(c *NodeCtx) (quantScale, error) {
	x, s := c.In[0].Shape, c.In[1].Shape
	if c.Has(2) && !equalShape(c.In[2].Shape, s) && c.In[2].Elems() != c.In[1].Elems() {
		return quantScale{}, badInput(c, 2, "has shape %v, want %v as the scale", c.In[2].Shape, s)
	}
	if c.In[1].Elems() == 1 && len(s) <= 1 {
		return quantScale{n: 1, inner: max(1, numElems(x)), block: 1, scales: 1}, nil
	}
	axis, err := normAxis(c, c.AttrInt("axis", 1), len(x))
	if err != nil {
		return quantScale{}, err
	}
	_, n, inner := splitAt(x, axis)
	if len(s) == 1 && s[0] == n {
		return quantScale{n: n, inner: inner, block: 1, scales: n}, nil
	}
	block := c.AttrInt("block_size", 0)
	if block < 1 || len(s) != len(x) {
		return quantScale{}, badInput(c, 1, "of shape %v does not fit an input of shape %v", s, x)
	}
	for d := range x {
		want := x[d]
		if d == axis {
			want = int((int64(want) + min(block, maxElems) - 1) / min(block, maxElems))
		}
		if s[d] != want {
			return quantScale{}, badInput(c, 1, "of shape %v does not fit an input of shape %v in blocks of %d", s, x, block)
		}
	}
	return quantScale{n: n, inner: inner, block: int(min(block, maxElems)), scales: s[axis]}, nil
}

// of returns the index of the scale of element i. With one scale per index (block 1) scales are not repeated for the
// dimensions around the axis.
func (q quantScale) of(i int, blocked bool) int {
	k := i / q.inner % q.n
	if !blocked {
		return k
	}
	return (i/q.inner/q.n*q.scales+k/q.block)*q.inner + i%q.inner
}

func inferDequantize(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classInt|classSmall); err != nil {
		return err
	}
	if err := checkClass(c, 1, classFloat); err != nil {
		return err
	}
	if c.Has(2) && c.In[2].DType != c.In[0].DType {
		return badInput(c, 2, "has type %v, want %v", c.In[2].DType, c.In[0].DType)
	}
	if c.In[1].DType == tensor.F64 {
		return c.Refuse("", "float64 scale")
	}
	if _, err := planQuant(c); err != nil {
		return err
	}
	return out1(c, c.In[1].DType, c.In[0].Shape)
}

func compileDequantize(c *NodeCtx) (Kernel, error) {
	q, err := planQuant(c)
	if err != nil {
		return Kernel{}, err
	}
	blocked := len(c.In[1].Shape) > 1
	read, hasZero := numbersReader(c.In[0].DType), c.Has(2)
	return run(func(f *Frame) {
		dst, scale := view[float32](f.Out[0]), view[float32](f.In[1])
		var zero []float64
		if hasZero {
			zero = read(f.In[2])
		}
		for i, v := range read(f.In[0]) {
			k := q.of(i, blocked)
			if hasZero {
				v -= zero[k]
			}
			dst[i] = float32(v) * scale[k]
		}
	}), nil
}

// quantType is the type of the result: that of the zero point, or attribute output_dtype, or uint8.
func quantType(c *NodeCtx) tensor.DType {
	if c.Has(2) {
		return c.In[2].DType
	}
	if v := c.AttrInt("output_dtype", 0); v > 0 && v < 64 {
		return tensor.FromONNX(int32(v))
	}
	return tensor.U8
}

// quantRange returns the least and largest number of an integer type of at most 16 bits.
func quantRange(dt tensor.DType) (lo, hi float64, ok bool) {
	switch dt {
	case tensor.U8:
		return 0, 255, true
	case tensor.I8:
		return -128, 127, true
	case tensor.U16:
		return 0, 65535, true
	case tensor.I16:
		return -32768, 32767, true
	case tensor.U4:
		return 0, 15, true
	case tensor.I4:
		return -8, 7, true
	case tensor.U2:
		return 0, 3, true
	case tensor.I2:
		return -2, 1, true
	}
	return 0, 0, false
}

func inferQuantize(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 1); err != nil {
		return err
	}
	for i := range 2 {
		if err := checkClass(c, i, classFloat); err != nil {
			return err
		}
	}
	if storage(c.In[0].DType) != tensor.F32 || storage(c.In[1].DType) != tensor.F32 {
		return c.Refuse("", "input of type "+c.In[0].DType.String())
	}
	if _, _, ok := quantRange(quantType(c)); !ok && (!quantType(c).IsSmallFloat() || quantType(c) == tensor.F8E8M0) {
		return c.Refuse("output_dtype", "result of type "+quantType(c).String())
	}
	if _, err := planQuant(c); err != nil {
		return err
	}
	return out1(c, quantType(c), c.In[0].Shape)
}

func compileQuantize(c *NodeCtx) (Kernel, error) {
	q, err := planQuant(c)
	if err != nil {
		return Kernel{}, err
	}
	blocked, dt := len(c.In[1].Shape) > 1, c.Out[0].DType
	lo, hi, _ := quantRange(dt)
	read, hasZero, saturate := numbersReader(dt), c.Has(2), c.AttrInt("saturate", 1) != 0
	return run(func(f *Frame) {
		scale := view[float32](f.In[1])
		var zero []float64
		if hasZero {
			zero = read(f.In[2])
		}
		for i, x := range view[float32](f.In[0]) {
			k := q.of(i, blocked)
			if dt.IsSmallFloat() {
				y := float64(x / scale[k])
				if hasZero {
					y += zero[k]
				}
				f.Out[0].Data[i] = tensor.F64ToSmall(dt, y, saturate)
				continue
			}
			v := math.RoundToEven(float64(x / scale[k]))
			if hasZero {
				v += zero[k]
			}
			storeInt(f.Out[0], i, int64(math.Max(lo, math.Min(hi, v))))
		}
	}), nil
}

// storeInt writes v to element i of a tensor of at most 16 bits.
func storeInt(t tensor.Tensor, i int, v int64) {
	t.Data[i*t.DType.Size()] = byte(v) & smallMask(t.DType)
	if t.DType.Size() == 2 {
		t.Data[2*i+1] = byte(v >> 8)
	}
}

func inferDynamicQuantize(c *NodeCtx) error {
	if err := checkArity(c, 1, 1, 3, 3); err != nil {
		return err
	}
	if c.In[0].DType != tensor.F32 {
		return badInput(c, 0, "has type %v, want float32", c.In[0].DType)
	}
	return setOut(c, Type{tensor.U8, c.In[0].Shape}, Type{tensor.F32, []int{}}, Type{tensor.U8, []int{}})
}

// compileDynamicQuantize maps the range of the input, widened to include 0, to 0…255.
func compileDynamicQuantize(*NodeCtx) (Kernel, error) {
	return run(func(f *Frame) {
		src := view[float32](f.In[0])
		lo, hi := float32(0), float32(0)
		for _, v := range src {
			lo, hi = min(lo, v), max(hi, v)
		}
		scale := (hi - lo) / 255
		zero := 0.0
		if scale > 0 {
			zero = math.RoundToEven(math.Max(0, math.Min(255, float64(-lo/scale))))
		}
		for i, v := range src {
			y := zero
			if scale > 0 {
				y += math.RoundToEven(float64(v / scale))
			}
			f.Out[0].Data[i] = uint8(math.Max(0, math.Min(255, y)))
		}
		view[float32](f.Out[1])[0] = scale
		f.Out[2].Data[0] = uint8(zero)
	}), nil
}

// inferMatMulInteger takes one zero point for all of A and of B; per-row and per-column ones are refused.
func inferMatMulInteger(c *NodeCtx) error {
	if err := checkArity(c, 2, 4, 1, 1); err != nil {
		return err
	}
	for i := range c.In {
		if c.Has(i) && c.In[i].DType != tensor.U8 && c.In[i].DType != tensor.I8 {
			return badInput(c, i, "has type %v, want int8 or uint8", c.In[i].DType)
		}
		if i >= 2 && c.Has(i) && (c.In[i].Elems() != 1 || c.In[i].DType != c.In[i-2].DType) {
			return c.Refuse("", "zero points per row or column")
		}
	}
	for i := range 2 {
		if err := checkRank(c, i, 1, maxRank); err != nil {
			return err
		}
	}
	dt := c.In[0].DType
	c.In[0].DType = tensor.I32
	second := c.In[1].DType
	c.In[1].DType = tensor.I32
	in := c.In
	c.In = in[:2]
	err := inferMatMul(c)
	c.In = in
	c.In[0].DType, c.In[1].DType = dt, second
	return err
}

func compileMatMulInteger(c *NodeCtx) (Kernel, error) {
	sa, sb := promote(c.In[0].Shape, c.In[1].Shape)
	p, why := newProduct(sa, sb, false, false)
	if p == nil {
		return Kernel{}, badNode(c, "%s", why)
	}
	p.plan(sa, sb)
	hasA, hasB := c.Has(2), c.Has(3)
	return run(func(f *Frame) {
		a, b, dst := widenBytes(f, 0, hasA), widenBytes(f, 1, hasB), view[int32](f.Out[0])
		clear(dst)
		rowTasks(f.Pool, len(p.offA)*p.m, p.k*p.n, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				i := r / p.m
				productRow(p, dst[r*p.n:][:p.n], a[p.offA[i]:], b[p.offB[i]:], r%p.m)
			}
		})
	}), nil
}

// widenBytes returns input i minus its zero point (input i+2).
func widenBytes(f *Frame, i int, hasZero bool) []int32 {
	at := func(t tensor.Tensor, k int) int32 {
		if t.DType == tensor.I8 {
			return int32(int8(t.Data[k]))
		}
		return int32(t.Data[k])
	}
	zero := int32(0)
	if hasZero {
		zero = at(f.In[i+2], 0)
	}
	out := make([]int32, len(f.In[i].Data))
	for k := range out {
		out[k] = at(f.In[i], k) - zero
	}
	return out
}
