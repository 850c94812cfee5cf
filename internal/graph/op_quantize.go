package graph

import (
	"fmt"
	"math"

	"winnow/internal/tensor"
)

func init() {
	Register(Operator{Name: "DequantizeLinear", Since: 10, Infer: inferDequantize, Compile: compileDequantize})
	Register(Operator{Name: "QuantizeLinear", Since: 10, Infer: inferQuantize, Compile: compileQuantize})
}

// quantScale describes which scale belongs to an element: one for all, one per index along an axis, or one per block of
// neighbours along the axis.
type quantScale struct {
	n, inner, block, scales int
	blocked                 bool // scales are repeated for the dimensions around the axis
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
	return quantScale{n: n, inner: inner, block: int(min(block, maxElems)), scales: s[axis], blocked: true}, nil
}

// of returns the index of the scale of element i.
func (q quantScale) of(i int) int {
	k := i / q.inner % q.n
	if !q.blocked {
		return k
	}
	return (i/q.inner/q.n*q.scales+k/q.block)*q.inner + i%q.inner
}

// checkScale requires input 1 to be a scale: a float of at most 32 bits, or a power of two in 8 bits.
func checkScale(c *NodeCtx) error {
	dt := c.In[1].DType
	if dt == tensor.F8E8M0 {
		return nil
	}
	if err := checkClass(c, 1, classFloat); err != nil {
		return err
	}
	if dt == tensor.F64 {
		return c.Refuse("", "float64 scale")
	}
	return nil
}

// quantOperands reads input, scale and zero point as float64; nil for an absent zero point.
func quantOperands(c *NodeCtx) func(f *Frame) (x, scale, zero []float64) {
	var reads [3]func(t tensor.Tensor) []float64
	for i := range reads {
		if c.Has(i) {
			reads[i] = numbersReader(c.In[i].DType)
		}
	}
	return func(f *Frame) (x, scale, zero []float64) {
		if reads[2] != nil {
			zero = reads[2](f.In[2])
		}
		return reads[0](f.In[0]), reads[1](f.In[1]), zero
	}
}

func inferDequantize(c *NodeCtx) error {
	if err := checkArity(c, 2, 3, 1, 1); err != nil {
		return err
	}
	if err := checkClass(c, 0, classInt|classSmall); err != nil {
		return err
	}
	if err := checkScale(c); err != nil {
		return err
	}
	if c.Has(2) && c.In[2].DType != c.In[0].DType {
		return badInput(c, 2, "has type %v, want %v", c.In[2].DType, c.In[0].DType)
	}
	out := typeAttr(c, "output_dtype", c.In[1].DType)
	if storage(out) != tensor.F32 {
		return c.Refuse("output_dtype", "result of type "+out.String())
	}
	if _, err := planQuant(c); err != nil {
		return err
	}
	return out1(c, out, c.In[0].Shape)
}

func compileDequantize(c *NodeCtx) (Kernel, error) {
	q, err := planQuant(c)
	if err != nil {
		return Kernel{}, err
	}
	operands := quantOperands(c)
	return run(func(f *Frame) {
		dst := view[float32](f.Out[0])
		src, scale, zero := operands(f)
		chunks(f.Pool, len(dst), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				k, v := q.of(i), src[i]
				if zero != nil {
					v -= zero[k]
				}
				dst[i] = float32(v) * float32(scale[k])
			}
		})
	}), nil
}

// quantType is the type of the result: that of the zero point, or attribute output_dtype, or uint8.
func quantType(c *NodeCtx) tensor.DType {
	if c.Has(2) {
		return c.In[2].DType
	}
	return typeAttr(c, "output_dtype", tensor.U8)
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
	if c.In[0].DType != tensor.I32 {
		if err := checkClass(c, 0, classFloat); err != nil {
			return err
		}
	}
	if err := checkScale(c); err != nil {
		return err
	}
	if c.In[0].DType == tensor.F64 {
		return c.Refuse("", "input of type "+c.In[0].DType.String())
	}
	to := quantType(c)
	if want := typeAttr(c, "output_dtype", to); want != to {
		return badInput(c, 2, "has type %v, output_dtype asks for %v", to, want)
	}
	if _, _, ok := quantRange(to); !ok && (!to.IsSmallFloat() || to == tensor.F8E8M0) {
		return c.Refuse("output_dtype", "result of type "+to.String())
	}
	if p := quotientType(c); storage(p) != tensor.F32 {
		return c.Refuse("precision", fmt.Sprintf("division in %v", p))
	}
	if _, err := planQuant(c); err != nil {
		return err
	}
	return out1(c, to, c.In[0].Shape)
}

// quotientType is the type in which input and scale are divided: attribute precision, or the type of the scale.
func quotientType(c *NodeCtx) tensor.DType {
	def := c.In[1].DType
	if def == tensor.F8E8M0 {
		def = tensor.F32
	}
	return typeAttr(c, "precision", def)
}

// halfRounder rounds a float32 to a half type; for other types it returns nil.
func halfRounder(dt tensor.DType) func(x float32) float32 {
	switch dt {
	case tensor.F16:
		return func(x float32) float32 { return tensor.F16ToF32(tensor.F32ToF16(x)) }
	case tensor.BF16:
		return func(x float32) float32 { return tensor.BF16ToF32(tensor.F32ToBF16(x)) }
	}
	return nil
}

func compileQuantize(c *NodeCtx) (Kernel, error) {
	q, err := planQuant(c)
	if err != nil {
		return Kernel{}, err
	}
	operands, round, store := quantOperands(c), halfRounder(quotientType(c)), quantStore(c)
	return run(func(f *Frame) {
		src, scale, zero := operands(f)
		chunks(f.Pool, len(src), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				k := q.of(i)
				x, s := float32(src[i]), float32(scale[k])
				if round != nil {
					x = round(round(x) / round(s))
				} else {
					x /= s
				}
				z := 0.0
				if zero != nil {
					z = zero[k]
				}
				store(f.Out[0], i, float64(x), z)
			}
		})
	}), nil
}

// quantStore returns what writes a quotient plus zero point z to element i: integers are rounded before z is added, and
// held to their range.
func quantStore(c *NodeCtx) func(t tensor.Tensor, i int, x, z float64) {
	dt := c.Out[0].DType
	if dt.IsSmallFloat() {
		saturate := c.AttrInt("saturate", 1) != 0
		return func(t tensor.Tensor, i int, x, z float64) { t.Data[i] = tensor.F64ToSmall(dt, x+z, saturate) }
	}
	lo, hi, _ := quantRange(dt)
	return func(t tensor.Tensor, i int, x, z float64) {
		storeInt(t, i, toInt[float64, int64](math.Max(lo, math.Min(hi, math.RoundToEven(x)+z))))
	}
}

// storeInt writes v to element i of a tensor of at most 16 bits.
func storeInt(t tensor.Tensor, i int, v int64) {
	t.Data[i*t.DType.Size()] = byte(v) & smallMask(t.DType)
	if t.DType.Size() == 2 {
		t.Data[2*i+1] = byte(v >> 8)
	}
}
