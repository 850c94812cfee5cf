package graph

import (
	"math"

	"winnow/internal/tensor"
)

// Expansions are written in the operator set that the file imports, so that an expanded graph can be written to a file
// again. Where an operator is younger than that, its definition stands in its place; the rewrites recognise either.

// oldestForm is the lowest opset in whose forms expansions are written. Files of older opsets get it too, and can be run but
// not written again.
const oldestForm = 13

// opset is the version of the standard domain that expanded nodes have.
func (l *Lowering) opset() int {
	for _, domain := range []string{"", "ai.onnx"} {
		if v := l.s.src.Opsets[domain]; v > 0 {
			return max(v, oldestForm)
		}
	}
	return DefaultOpset
}

// number is a scalar constant of type dt.
func (l *Lowering) number(dt tensor.DType, v float64) ValueID {
	return l.Floats(dt, []float32{float32(v)})
}

// gelu is x·Φ(x), with erf or by tanh ("none", "tanh").
func (l *Lowering) gelu(x ValueID, approximate string) ValueID {
	if l.opset() >= 20 {
		return l.OpA("Gelu", map[string]Attr{"approximate": StringAttr(approximate)}, x)
	}
	dt := l.TypeOf(x).DType
	var f ValueID
	if approximate == "tanh" {
		cube := l.Op("Mul", l.Op("Mul", l.Op("Mul", x, x), x), l.number(dt, 0.044715))
		f = l.Op("Tanh", l.Op("Mul", l.Op("Add", x, cube), l.number(dt, math.Sqrt(2/math.Pi))))
	} else {
		f = l.Op("Erf", l.Op("Div", x, l.number(dt, math.Sqrt2)))
	}
	return l.Op("Mul", l.Op("Mul", x, l.Op("Add", f, l.number(dt, 1))), l.number(dt, 0.5))
}

// groupNormalize normalises x [N,C,H,W] in groups of channels; gamma and beta are [C].
func (l *Lowering) groupNormalize(x ValueID, groups int, eps float32, gamma, beta ValueID) ValueID {
	attrs := map[string]Attr{"epsilon": FloatAttr(eps)}
	if l.opset() >= 21 {
		attrs["num_groups"] = IntAttr(groups)
		return l.OpA("GroupNormalization", attrs, x, gamma, beta)
	}
	typ := l.TypeOf(x)
	if l.err != nil || typ.Shape[0] == 0 || groups == 0 {
		return x
	}
	ones := make([]float32, groups)
	for i := range ones {
		ones[i] = 1
	}
	n, c := typ.Shape[0], typ.Shape[1]
	y := l.OpA("InstanceNormalization", attrs, l.Reshape(x, n, groups, typ.Elems()/n/groups),
		l.Floats(typ.DType, ones, groups), l.Floats(typ.DType, make([]float32, groups), groups))
	y = l.Reshape(y, typ.Shape...)
	return l.Op("Add", l.Op("Mul", y, l.Reshape(gamma, c, 1, 1)), l.Reshape(beta, c, 1, 1))
}

// rmsNorm divides x by its root mean square over the axes from axis (not negative) on.
func (l *Lowering) rmsNorm(x, scale ValueID, axis int, eps float32) ValueID {
	if l.opset() >= 23 {
		return l.OpA("RMSNormalization", map[string]Attr{"axis": IntAttr(axis), "epsilon": FloatAttr(eps)}, x, scale)
	}
	typ := l.TypeOf(x)
	wide := typ.DType
	if typ.Storage() == tensor.F32 { // squares leave the range of half precision
		wide = tensor.F32
	}
	v := l.As(x, wide)
	var axes []int
	for i := axis; i < len(typ.Shape); i++ {
		axes = append(axes, i)
	}
	mean := l.Op("Add", l.reduceMean(l.Op("Mul", v, v), axes), l.number(wide, float64(eps)))
	return l.Op("Mul", l.As(l.Op("Div", v, l.Op("Sqrt", mean)), typ.DType), scale)
}

// reduceMean keeps the reduced axes with size one. They became an input in opset 18.
func (l *Lowering) reduceMean(x ValueID, axes []int) ValueID {
	if l.opset() >= 18 {
		return l.Op("ReduceMean", x, l.Ints(axes...))
	}
	return l.OpA("ReduceMean", map[string]Attr{"axes": IntsAttr(axes...)}, x)
}

// dotAttention is softmax(scale·q·kᵀ + mask)·v for operands [B,N,S,D]; keys and values may have fewer heads, of which
// neighbouring query heads share one. scale 0 means 1/√D; mask may be None.
func (l *Lowering) dotAttention(q, k, v, mask ValueID, scale float32) ValueID {
	if l.opset() >= 23 {
		attrs := map[string]Attr{}
		if scale != 0 {
			attrs["scale"] = FloatAttr(scale)
		}
		return l.OpA("Attention", attrs, q, k, v, mask)
	}
	shape, dt := l.TypeOf(q).Shape, l.TypeOf(q).DType
	if l.err != nil {
		return q
	}
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(shape[3])))
	}
	k, v = l.repeatHeads(k, shape[1]), l.repeatHeads(v, shape[1])
	scores := l.Op("Mul", l.Op("MatMul", q, l.Transpose(k, 0, 1, 3, 2)), l.number(dt, float64(scale)))
	p := l.OpA("Softmax", map[string]Attr{"axis": IntAttr(-1)}, l.AddAll(scores, mask))
	return l.Op("MatMul", p, v)
}

// repeatHeads copies the heads of [B,M,T,D] so that there are n.
func (l *Lowering) repeatHeads(id ValueID, n int) ValueID {
	s := l.TypeOf(id).Shape
	if l.err != nil || s[1] == n || s[1] == 0 {
		return id
	}
	wide := l.Op("Expand", l.Reshape(id, s[0], s[1], 1, s[2], s[3]), l.Ints(s[0], s[1], n/s[1], s[2], s[3]))
	return l.Reshape(wide, s[0], n, s[2], s[3])
}

// rotation describes a rotary embedding: the first 2·len of a head's channels are turned by table rows at [B,S].
type rotation struct {
	cos, sin    ValueID // [positions, len]
	at          ValueID // int64 [B,S]
	interleaved bool
}

// rotate turns x, [B,N,S,D] or [B,S,heads·D].
func (l *Lowering) rotate(x ValueID, heads int, r rotation) ValueID {
	half := l.TypeOf(r.cos).Shape[1]
	shape := l.TypeOf(x).Shape
	if l.opset() >= 23 {
		attrs := map[string]Attr{"num_heads": IntAttr(heads), "rotary_embedding_dim": IntAttr(2 * half)}
		if r.interleaved {
			attrs["interleaved"] = IntAttr(1)
		}
		return l.OpA("RotaryEmbedding", attrs, x, r.cos, r.sin, r.at)
	}
	y, at := x, l.TypeOf(r.at).Shape
	row := []int{at[0], 1, at[1], half, 1}
	if len(shape) == 3 {
		y, row = l.Reshape(x, shape[0], shape[1], heads, shape[2]/heads), []int{at[0], at[1], 1, half, 1}
	}
	d := l.TypeOf(y).Shape
	parts := []ValueID{y}
	if rest := d[3] - 2*half; rest > 0 {
		parts = l.Split(y, 3, 2*half, rest)
	}
	cos, sin := l.Reshape(l.Op("Gather", r.cos, r.at), row...), l.Reshape(l.Op("Gather", r.sin, r.at), row...)
	parts[0] = l.turn(parts[0], []int{d[0], d[1], d[2]}, half, cos, sin, r.interleaved)
	if len(parts) > 1 {
		parts[0] = l.OpA("Concat", map[string]Attr{"axis": IntAttr(3)}, parts...)
	}
	return l.Reshape(parts[0], shape...)
}

// turn rotates pairs of the channels of x [lead…, 2·half]: neighbours when interleaved, else one of each half.
func (l *Lowering) turn(x ValueID, lead []int, half int, cos, sin ValueID, interleaved bool) ValueID {
	whole, pairs, axis := append(lead[:3:3], 2*half), append(lead[:3:3], 2, half), 3
	if interleaved {
		pairs, axis = append(lead[:3:3], half, 2), 4
	}
	part := l.Split(l.Reshape(x, pairs...), axis, 1, 1)
	a, b := l.Reshape(part[0], append(lead[:3:3], half, 1)...), l.Reshape(part[1], append(lead[:3:3], half, 1)...)
	u := l.Op("Sub", l.Op("Mul", a, cos), l.Op("Mul", b, sin))
	v := l.Op("Add", l.Op("Mul", a, sin), l.Op("Mul", b, cos))
	one := append(lead[:3:3], 1, half)
	if interleaved {
		one = append(lead[:3:3], half, 1)
	}
	return l.Reshape(l.OpA("Concat", map[string]Attr{"axis": IntAttr(axis)}, l.Reshape(u, one...), l.Reshape(v, one...)), whole...)
}
