package graph

import (
	"fmt"
	"testing"

	"winnow/internal/tensor"
)

// fusedTolerance bounds the difference of a fused operator from its decomposition, relative to the largest magnitude:
// both are float32 with other orders of summation.
const fusedTolerance = 3e-6

// sameAs runs two formulations over the same inputs without rewrites and compares them. Constants of a formulation come
// from weights, once as graph inputs and once packed.
func sameAs(t *testing.T, what string, in map[string]tensor.Tensor, fused, plain func(b *Builder, v map[string]ValueID) ValueID) {
	t.Helper()
	for _, packed := range []bool{false, true} {
		eval := func(f func(b *Builder, v map[string]ValueID) ValueID) tensor.Tensor {
			b := NewBuilder(what).Opset("", 20)
			ids, feeds := map[string]ValueID{}, map[string]tensor.Tensor{}
			for _, name := range []string{"x", "w", "bias", "residual", "mask", "k", "v"} {
				v, ok := in[name]
				switch {
				case !ok:
					ids[name] = None
				case packed && name != "x":
					ids[name] = b.Const(v)
				default:
					ids[name], feeds[name] = b.Input(name, v.DType, v.Shape...), v
				}
			}
			b.Output("y", f(b, ids))
			out, _ := runWith(t, buildGraph(t, b), feeds, Options{NoFusion: true, Paranoid: true})
			return out["y"]
		}
		compareTensors(t, fmt.Sprintf("%s, packed %v", what, packed), eval(fused), eval(plain), fusedTolerance)
	}
}

// activate adds the standard operators for an act attribute.
func activate(b *Builder, act string, x ValueID) ValueID {
	switch act {
	case "silu":
		return b.Op("Mul", x, b.Op("Sigmoid", x))
	case "gelu":
		return b.Op("Gelu", x)
	case "gelu_tanh":
		return b.OpA("Gelu", map[string]Attr{"approximate": StringAttr("tanh")}, x)
	case "quick_gelu":
		return b.Op("Mul", x, b.Op("Sigmoid", b.Op("Mul", x, b.Const(f32(1.702)))))
	case "relu":
		return b.Op("Relu", x)
	case "sigmoid":
		return b.Op("Sigmoid", x)
	case "tanh":
		return b.Op("Tanh", x)
	}
	return x
}

var allActs = []string{"", "silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "sigmoid", "tanh"}

func TestWinnowActivations(t *testing.T) {
	in := map[string]tensor.Tensor{"x": randn(1, 3, 1000)}
	for op, act := range map[string]string{"Silu": "silu", "QuickGelu": "quick_gelu", "Gelu": "gelu"} {
		sameAs(t, op, in, func(b *Builder, v map[string]ValueID) ValueID { return b.Op("winnow."+op, v["x"]) },
			func(b *Builder, v map[string]ValueID) ValueID { return activate(b, act, v["x"]) })
	}
	for _, act := range allActs {
		for first := range 2 {
			attrs := map[string]Attr{"act": StringAttr(act), "gate_first": IntAttr(first)}
			sameAs(t, "GEGLU "+act, in,
				func(b *Builder, v map[string]ValueID) ValueID { return b.OpA("winnow.GEGLU", attrs, v["x"]) },
				func(b *Builder, v map[string]ValueID) ValueID {
					half := b.OpN("Split", map[string]Attr{"axis": IntAttr(-1), "num_outputs": IntAttr(2)}, 2, v["x"])
					return b.Op("Mul", half[first], activate(b, act, half[1-first]))
				})
		}
	}
}

func TestWinnowGroupNorm(t *testing.T) {
	for _, groups := range []int{1, 2, 6} {
		for _, act := range []string{"", "silu"} {
			in := map[string]tensor.Tensor{"x": randn(2, 2, 6, 7, 5), "w": randn(3, 1, 6, 1, 1), "bias": randn(4, 6)}
			attrs := map[string]Attr{"num_groups": IntAttr(groups), "epsilon": FloatAttr(1e-3), "act": StringAttr(act)}
			sameAs(t, fmt.Sprint("GroupNorm ", groups, act), in,
				func(b *Builder, v map[string]ValueID) ValueID {
					return b.OpA("winnow.GroupNorm", attrs, v["x"], v["w"], v["bias"])
				},
				func(b *Builder, v map[string]ValueID) ValueID {
					n := groups
					ones, zeros := tensor.New(tensor.F32, n), tensor.New(tensor.F32, n)
					for i := range n {
						ones.F32()[i] = 1
					}
					y := b.Op("Reshape", v["x"], b.Const(i64s(2, int64(n), -1)))
					y = b.OpA("InstanceNormalization", map[string]Attr{"epsilon": FloatAttr(1e-3)}, y, b.Const(ones), b.Const(zeros))
					y = b.Op("Reshape", y, b.Const(i64s(2, 6, 7, 5)))
					y = b.Op("Add", b.Op("Mul", y, v["w"]), b.Op("Reshape", v["bias"], b.Const(i64s(6, 1, 1))))
					return activate(b, act, y)
				})
		}
	}
}

// linearCase is one variant of winnow.Linear.
type linearCase struct {
	a, w           []int
	transA, transB bool
	bias           []int
	residual       bool
	alpha          float32
	act            string
}

func (l linearCase) attrs() map[string]Attr {
	flag := map[bool]int{true: 1}
	return map[string]Attr{
		"trans_a": IntAttr(flag[l.transA]), "trans_b": IntAttr(flag[l.transB]), "alpha": FloatAttr(l.alpha), "act": StringAttr(l.act),
	}
}

// plain spells the operator out.
func (l linearCase) plain(b *Builder, v map[string]ValueID) ValueID {
	swap := func(id ValueID, rank int, yes bool) ValueID {
		if !yes {
			return id
		}
		perm := make([]int, rank)
		for i := range perm {
			perm[i] = i
		}
		perm[rank-1], perm[rank-2] = rank-2, rank-1
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(perm...)}, id)
	}
	y := b.Op("MatMul", swap(v["x"], len(l.a), l.transA), swap(v["w"], len(l.w), l.transB))
	y = b.Op("Mul", y, b.Const(f32(l.alpha)))
	if v["bias"] != None {
		y = b.Op("Add", y, v["bias"])
	}
	y = activate(b, l.act, y)
	if v["residual"] != None {
		y = b.Op("Add", y, v["residual"])
	}
	return y
}

func TestWinnowLinear(t *testing.T) {
	cases := []linearCase{
		{a: []int{5, 9}, w: []int{9, 7}, alpha: 1},
		{a: []int{2, 5, 9}, w: []int{9, 7}, bias: []int{7}, residual: true, alpha: 0.5, act: "gelu"},
		{a: []int{2, 5, 9}, w: []int{7, 9}, transB: true, bias: []int{1, 1, 7}, alpha: 1, act: "silu"},
		{a: []int{9, 5}, w: []int{9, 7}, transA: true, residual: true, alpha: 2},
		{a: []int{9, 5}, w: []int{7, 9}, transA: true, transB: true, bias: []int{1}, alpha: 1, act: "relu"},
		{a: []int{2, 3, 5, 9}, w: []int{2, 3, 9, 7}, alpha: 0.3, act: "tanh"},
		{a: []int{2, 3, 5, 9}, w: []int{3, 7, 9}, transB: true, residual: true, alpha: 1},
		{a: []int{1, 5, 9}, w: []int{4, 9, 7}, bias: []int{7}, residual: true, alpha: 1, act: "sigmoid"},
		{a: []int{2, 9, 5}, w: []int{2, 9, 7}, transA: true, bias: []int{7}, alpha: 1, act: "quick_gelu"},
		{a: []int{130, 70}, w: []int{70, 65}, bias: []int{65}, residual: true, alpha: 1, act: "gelu_tanh"},
	}
	for i, l := range cases {
		a, w := l.a, l.w
		p, why := newProduct(a, w, l.transA, l.transB)
		if p == nil {
			t.Fatal(why)
		}
		in := map[string]tensor.Tensor{"x": randn(uint64(i), a...), "w": randn(uint64(i)+50, w...)}
		if l.bias != nil {
			in["bias"] = randn(uint64(i)+100, l.bias...)
		}
		if l.residual {
			in["residual"] = randn(uint64(i)+150, p.shape...)
		}
		sameAs(t, fmt.Sprintf("Linear %+v", l), in, func(b *Builder, v map[string]ValueID) ValueID {
			return b.OpA("winnow.Linear", l.attrs(), v["x"], v["w"], v["bias"], v["residual"])
		}, l.plain)
	}
}

func TestWinnowConv(t *testing.T) {
	for i, act := range allActs {
		in := map[string]tensor.Tensor{
			"x": randn(uint64(i), 2, 5, 9, 8), "w": randn(uint64(i)+50, 6, 5, 3, 3), "bias": randn(uint64(i)+100, 6),
			"residual": randn(uint64(i)+150, 2, 6, 9, 8),
		}
		conv := map[string]Attr{"pads": IntsAttr(1, 1, 1, 1)}
		if i%2 == 1 {
			conv["strides"] = IntsAttr(2, 2)
			in["residual"] = randn(uint64(i)+150, 2, 6, 5, 4)
		}
		if i > 3 {
			delete(in, "residual")
		}
		sameAs(t, "Conv "+act, in, func(b *Builder, v map[string]ValueID) ValueID {
			return b.OpA("winnow.Conv", withAttr(conv, "act", StringAttr(act)), v["x"], v["w"], v["bias"], v["residual"])
		}, func(b *Builder, v map[string]ValueID) ValueID {
			y := activate(b, act, b.OpA("Conv", conv, v["x"], v["w"], v["bias"]))
			if v["residual"] != None {
				y = b.Op("Add", y, v["residual"])
			}
			return y
		})
	}
}

// attentionLayout is one way to hand [B,H,S,D] data over: shape and the permutation that makes it [B,H,S,D].
type attentionLayout struct {
	name  string
	shape func(b, h, s, d int) []int
}

var attentionLayouts = []attentionLayout{
	{layoutBHSD, func(b, h, s, d int) []int { return []int{b, h, s, d} }},
	{layoutBSHD, func(b, h, s, d int) []int { return []int{b, s, h, d} }},
	{layoutBSHD, func(b, h, s, d int) []int { return []int{b, s, h * d} }},
}

// toBHSD adds the reshape and transpose that a layout saves.
func (l attentionLayout) toBHSD(b *Builder, x ValueID, n, h, s, d int) ValueID {
	if l.name == layoutBHSD {
		return x
	}
	y := b.Op("Reshape", x, b.Const(i64s(int64(n), int64(s), int64(h), int64(d))))
	return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, y)
}

func TestWinnowAttention(t *testing.T) {
	const n, h, sq, sk, d, dv = 2, 3, 11, 7, 8, 5
	masks := [][]int{nil, {sq, sk}, {n, 1, 1, sk}, {1, h, sq, sk}, {sq, 1}, {1}}
	trial := 0
	for _, lq := range attentionLayouts {
		for _, lk := range attentionLayouts {
			for i, mask := range masks {
				trial++
				in := map[string]tensor.Tensor{
					"x": randn(uint64(trial), lq.shape(n, h, sq, d)...), "k": randn(uint64(trial)+500, lk.shape(n, h, sk, d)...),
					"v": randn(uint64(trial)+900, lk.shape(n, h, sk, dv)...),
				}
				if mask != nil {
					in["mask"] = randn(uint64(trial)+1300, mask...)
				}
				out := []string{layoutBHSD, layoutBSHD}[trial%2]
				attrs := map[string]Attr{
					"q_layout": StringAttr(lq.name), "k_layout": StringAttr(lk.name), "v_layout": StringAttr(lk.name),
					"o_layout": StringAttr(out), "num_heads": IntAttr(h), "scale": FloatAttr(0.4), "causal": IntAttr(i % 2),
				}
				sameAs(t, fmt.Sprintf("Attention %s %s %s mask %v", lq.name, lk.name, out, mask), in,
					func(b *Builder, v map[string]ValueID) ValueID {
						return b.OpA("winnow.Attention", attrs, v["x"], v["k"], v["v"], v["mask"])
					},
					func(b *Builder, v map[string]ValueID) ValueID {
						q := lq.toBHSD(b, v["x"], n, h, sq, d)
						k := b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 1, 3, 2)}, lk.toBHSD(b, v["k"], n, h, sk, d))
						s := b.Op("Mul", b.Op("MatMul", q, k), b.Const(f32(0.4)))
						if v["mask"] != None {
							s = b.Op("Add", s, v["mask"])
						}
						if i%2 == 1 {
							s = b.Op("Add", s, b.Const(causalMask(sq, sk)))
						}
						y := b.Op("MatMul", b.Op("Softmax", s), lk.toBHSD(b, v["v"], n, h, sk, dv))
						if out == layoutBSHD {
							y = b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 2, 1, 3)}, y)
							y = b.Op("Reshape", y, b.Const(i64s(n, sq, h*dv)))
						}
						return y
					})
			}
		}
	}
}

// causalMask hides the keys after each query.
func causalMask(sq, sk int) tensor.Tensor {
	m := tensor.New(tensor.F32, sq, sk)
	for i := range sq {
		for j := i + 1; j < sk; j++ {
			m.F32()[i*sk+j] = -1e30
		}
	}
	return m
}
