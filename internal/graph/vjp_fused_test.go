package graph

import (
	"fmt"
	"slices"
	"testing"

	"winnow/internal/tensor"
)

// reverseOps lists the operators of Winnow's domain in the reverse pass of a graph.
func reverseOps(t *testing.T, c gradCase) []string {
	t.Helper()
	spec := GradientSpec{}
	for name := range c.in {
		spec.Wrt = append(spec.Wrt, name)
	}
	p, err := CompileGradient(c.graph(t, tensor.F32), typesOf(toF32(c.in)), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var ops []string
	for _, n := range p.Program().ir.nodes {
		if n.back && n.Domain == Domain {
			ops = append(ops, n.Op)
		}
	}
	return ops
}

// TestVJPFusedStructures: what files spell out is recognised first and has a fused gradient.
func TestVJPFusedStructures(t *testing.T) {
	half := func(b *Builder, x ValueID, first bool) ValueID {
		parts := b.OpN("Split", axisAttr(-1), 2, x)
		if first {
			return parts[0]
		}
		return parts[1]
	}
	gelu := func(b *Builder, dt tensor.DType, x ValueID) ValueID {
		num := func(v float64) ValueID {
			if dt == tensor.F64 {
				return b.Const(f64(v))
			}
			return b.Const(f32(float32(v)))
		}
		erf := b.Op("Erf", b.Op("Div", x, num(1.4142135623730951)))
		return b.Op("Mul", b.Op("Mul", x, b.Op("Add", erf, num(1))), num(0.5))
	}
	for op, build := range map[string]func(b *Builder, dt tensor.DType, x ValueID) ValueID{
		"ActGrad": func(b *Builder, _ tensor.DType, x ValueID) ValueID { return b.Op("Mul", x, b.Op("Sigmoid", x)) },
		"GEGLUGrad": func(b *Builder, dt tensor.DType, x ValueID) ValueID {
			return b.Op("Mul", half(b, x, true), gelu(b, dt, half(b, x, false)))
		},
		"LayerNormGrad": func(b *Builder, dt tensor.DType, x ValueID) ValueID {
			return b.Op("LayerNormalization", x, b.Input("w", dt, 6), b.Input("bias", dt, 6))
		},
	} {
		c := gradCase{
			name:  op,
			build: func(b *Builder, dt tensor.DType) { b.Output("y", build(b, dt, b.Input("x", dt, 3, 5, 6))) },
			in:    map[string]tensor.Tensor{"x": normal64(1, 3, 5, 6)},
		}
		if op == "LayerNormGrad" {
			c.in["w"], c.in["bias"] = normal64(2, 6), normal64(3, 6)
		}
		checkVJP(t, c)
		if ops := reverseOps(t, c); !slices.Equal(ops, []string{op}) {
			t.Errorf("the reverse pass uses %v, want %s alone", ops, op)
		}
	}
}

// TestVJPGEGLU holds every activation and order of the halves against the decomposition in float64, spelled out and fused.
func TestVJPGEGLU(t *testing.T) {
	x := normal64(1, 2, 5, 2*1100)
	for _, act := range allActs {
		for first := range 2 {
			attrs := map[string]Attr{"act": StringAttr(act), "gate_first": IntAttr(first)}
			plain := gradCase{name: "plain", opset: 20, build: func(b *Builder, dt tensor.DType) {
				parts := b.OpN("Split", map[string]Attr{"axis": IntAttr(-1), "num_outputs": IntAttr(2)}, 2, b.Input("x", dt, x.Shape...))
				b.Output("y", b.Op("Mul", parts[first], activate64(b, dt, act, parts[1-first])))
			}}
			in, cot := map[string]tensor.Tensor{"x": x}, map[string]tensor.Tensor{}
			_, want := runGradient(t, plain.graph(t, tensor.F64), in, cot, []string{"x"}, Options{NoFusion: true})
			b := NewBuilder("geglu")
			b.Output("y", b.OpA("winnow.GEGLU", attrs, b.Input("x", tensor.F32, x.Shape...)))
			g := buildGraph(t, b)
			for _, o := range []Options{{NoFusion: true}, {Paranoid: true}} {
				_, got := runGradient(t, g, toF32(in), toF32(cot), []string{"x"}, o)
				compareTensors(t, fmt.Sprintf("%s, gate_first %d", act, first), got["x"], toF32(want)["x"], 2e-6)
			}
		}
	}
}

// activate64 is activate for either type.
func activate64(b *Builder, dt tensor.DType, act string, x ValueID) ValueID {
	if act == "quick_gelu" && dt == tensor.F64 {
		return b.Op("Mul", x, b.Op("Sigmoid", b.Op("Mul", x, b.Const(f64(1.702)))))
	}
	return activate(b, act, x)
}

// TestVJPUnwanted: parts of a rule that nobody wants are not built.
func TestVJPUnwanted(t *testing.T) {
	c := rule("LayerNormalization", nil, normal64(1, 4, 6), normal64(2, 6), normal64(3, 6)).gradCase()
	p, err := CompileGradient(c.graph(t, tensor.F32), typesOf(toF32(c.in)), GradientSpec{Wrt: []string{"x2"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, n := range p.Program().ir.nodes {
		if n.back && n.Op != "ReduceSum" && n.Op != "Reshape" {
			t.Errorf("the gradient of the bias alone takes a %s", n.Op)
		}
	}
}
