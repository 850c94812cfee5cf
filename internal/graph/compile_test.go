package graph

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"winnow/internal/tensor"
)

func TestFoldingLeavesOnlyWhatComputes(t *testing.T) {
	b := NewBuilder("fold")
	x := b.InputDims("x", tensor.F32, Dim{-1, "batch"}, Dim{Size: 6})
	// The exporters' way to flatten: shape arithmetic that depends on x's shape only.
	rows := b.Op("Gather", b.Op("Shape", x), b.Const(tensor.FromI64([]int64{0})))
	shape := b.OpA("Concat", map[string]Attr{"axis": IntAttr(0)},
		b.Op("Unsqueeze", rows, b.Const(i64s(0))), b.Const(i64s(2, 3)))
	y := b.Op("Reshape", x, shape)
	b.Output("y", b.Op("Exp", b.Op("Identity", y)))
	g := buildGraph(t, b)
	out, s := runBoth(t, g, map[string]tensor.Tensor{"x": randn(1, 4, 6)}, 0)
	if s.Steps != 1 || s.Views != 1 {
		t.Errorf("%d steps and %d views, want 1 and 1", s.Steps, s.Views)
	}
	if got := out["y"].Shape; len(got) != 3 || got[0] != 4 {
		t.Errorf("shape %v", got)
	}
}

func TestCommonSubexpressions(t *testing.T) {
	b := NewBuilder("cse")
	x := b.Input("x", tensor.F32, 5)
	two := func() ValueID { return b.Const(f32(2)) }
	b.Output("y", b.Op("Add", b.Op("Exp", b.Op("Mul", x, two())), b.Op("Exp", b.Op("Mul", x, two()))))
	_, s := runBoth(t, buildGraph(t, b), map[string]tensor.Tensor{"x": randn(1, 5)}, 1e-6)
	if s.Steps != 3 {
		t.Errorf("%d steps, want 3", s.Steps)
	}
}

// branches returns an If whose sides read x of the enclosing graph by name.
func branches(b *Builder, cond, x ValueID) ValueID {
	side := func(op string) *Graph {
		s := NewBuilder(op)
		inner := s.value(Value{Name: b.g.Values[x].Name})
		s.Output("r", s.Op(op, inner))
		g, _ := s.Build()
		return g
	}
	return b.OpA("If", map[string]Attr{"then_branch": GraphAttr(side("Exp")), "else_branch": GraphAttr(side("Neg"))}, cond)
}

func TestIfIsInlined(t *testing.T) {
	for _, n := range []int{3, 4} {
		b := NewBuilder("if")
		x := b.Input("x", tensor.F32, -1)
		size := b.Op("Squeeze", b.Op("Shape", x))
		b.Output("y", branches(b, b.Op("Equal", size, b.Const(tensor.FromI64([]int64{3}))), x))
		in := map[string]tensor.Tensor{"x": randn(1, n)}
		out, _ := runWith(t, buildGraph(t, b), in, Options{})
		v := float64(in["x"].F32()[0])
		want := -v
		if n == 3 {
			want = math.Exp(v)
		}
		if got := float64(out["y"].F32()[0]); math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("n=%d: got %g, want %g", n, got, want)
		}
	}
}

func TestIfOverContents(t *testing.T) {
	b := NewBuilder("if")
	x := b.Input("x", tensor.F32, 2)
	b.Output("y", branches(b, b.Op("Greater", b.OpA("ReduceMax", map[string]Attr{"keepdims": IntAttr(1)}, x), b.Const(f32(0))), x))
	g := buildGraph(t, b)
	for _, v := range []float32{1.5, -1.5} {
		out, _ := runBoth(t, g, map[string]tensor.Tensor{"x": tensor.FromF32([]float32{v, -3}, 2)}, 1e-6)
		want := []float64{-float64(v), 3}
		if v > 0 {
			want = []float64{math.Exp(float64(v)), math.Exp(-3)}
		}
		for i, w := range want {
			if got := float64(out["y"].F32()[i]); math.Abs(got-w) > 1e-6*math.Abs(w) {
				t.Errorf("x = %g: y[%d] = %g, want %g", v, i, got, w)
			}
		}
	}
	// Sides of different shapes cannot be selected from.
	side := func(op string) *Graph {
		s := NewBuilder(op)
		inner := s.value(Value{Name: "x"})
		s.Output("r", s.OpA(op, map[string]Attr{"axes": IntsAttr(0)}, inner))
		g, _ := s.Build()
		return g
	}
	b = NewBuilder("if").Opset("", 12).Source("m.onnx")
	x = b.Input("x", tensor.F32, 1)
	attrs := map[string]Attr{"then_branch": GraphAttr(side("Unsqueeze")), "else_branch": GraphAttr(side("Squeeze"))}
	b.Output("y", b.OpA("If", attrs, b.Op("Greater", x, b.Const(f32(0)))))
	g = buildGraph(t, b)
	for i := range g.Nodes {
		if s := g.Nodes[i].Attrs["then_branch"]; s.Kind == AttrGraph {
			s.G.Nodes[0].Opset, g.Nodes[i].Attrs["else_branch"].G.Nodes[0].Opset = 12, 12
		}
	}
	_, err := Compile(g, map[string]Type{"x": {tensor.F32, []int{1}}}, nil)
	var u *UnsupportedError
	if !errors.As(err, &u) || u.Op != "If" || !strings.HasPrefix(err.Error(), "m.onnx: ") {
		t.Errorf("branches of different shapes: %v", err)
	}
}

func TestInputErrors(t *testing.T) {
	b := NewBuilder("inputs").Source("model.onnx")
	x := b.InputDims("x", tensor.F32, Dim{-1, "n"}, Dim{Size: 4})
	y := b.InputDims("y", tensor.F32, Dim{-1, "n"}, Dim{Size: 4})
	b.Output("z", b.Op("Add", x, y))
	g := buildGraph(t, b)
	f := func(shape ...int) Type { return Type{tensor.F32, shape} }
	cases := map[string]struct {
		in   map[string]Type
		want string
	}{
		"missing":  {map[string]Type{"x": f(2, 4)}, `input "y": missing`},
		"unknown":  {map[string]Type{"x": f(2, 4), "y": f(2, 4), "q": f(1)}, `input "q": the graph has no such input`},
		"rank":     {map[string]Type{"x": f(2, 4), "y": f(4)}, `declared as [n,4]`},
		"size":     {map[string]Type{"x": f(2, 5), "y": f(2, 4)}, `given with shape [2,5]`},
		"symbol":   {map[string]Type{"x": f(2, 4), "y": f(3, 4)}, `fixes "n" to 2`},
		"type":     {map[string]Type{"x": f(2, 4), "y": {tensor.I64, []int{2, 4}}}, `given as int64, declared as float32`},
		"negative": {map[string]Type{"x": f(-2, 4), "y": f(-2, 4)}, `negative`},
	}
	for name, c := range cases {
		_, err := Compile(g, c.in, nil)
		var se *ShapeError
		if !errors.As(err, &se) || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "model.onnx: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunChecksTensors(t *testing.T) {
	b := NewBuilder("run")
	x := b.Input("x", tensor.F32, 2)
	b.Output("y", b.Op("Exp", x))
	p, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{2}}}, &Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for name, in := range map[string]map[string]tensor.Tensor{
		"missing": {},
		"shape":   {"x": randn(1, 3)},
		"type":    {"x": i64s(1, 2)},
		"short":   {"x": {DType: tensor.F32, Shape: []int{2}, Data: make([]byte, 4)}},
		"extra":   {"x": randn(1, 2), "z": randn(1, 2)},
	} {
		if _, err := p.Run(context.Background(), in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Run(ctx, map[string]tensor.Tensor{"x": randn(1, 2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled context: %v", err)
	}
}

func TestUnknownOperatorNamesNodeAndOpset(t *testing.T) {
	b := NewBuilder("unknown").Source("net.onnx").Opset("com.example", 3)
	x := b.Input("x", tensor.F32, 2)
	b.Output("y", b.Op("com.example.Frobnicate", x))
	_, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{2}}}, nil)
	var u *UnsupportedError
	if !errors.As(err, &u) || u.Op != "Frobnicate" || u.Domain != "com.example" || u.Opset != 3 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"net.onnx", "Frobnicate_0", "opset 3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q lacks %q", err, part)
		}
	}
}

func TestHalfPrecisionBorder(t *testing.T) {
	b := NewBuilder("half")
	x := b.Input("x", tensor.F16, 4)
	w := b.Const(tensor.FromF16([]uint16{tensor.F32ToF16(1.5), tensor.F32ToF16(-2), tensor.F32ToF16(0.1), 0}, 4))
	b.Output("y", b.Op("Mul", x, w))
	b.Output("wide", b.OpA("Cast", map[string]Attr{"to": IntAttr(1)}, b.Op("Add", x, w)))
	g := buildGraph(t, b)
	half := make([]uint16, 4)
	for i, v := range []float32{0.3, 7, -1, 65504} {
		half[i] = tensor.F32ToF16(v)
	}
	out, _ := runBoth(t, g, map[string]tensor.Tensor{"x": tensor.FromF16(half, 4)}, 0)
	if out["y"].DType != tensor.F16 || out["wide"].DType != tensor.F32 {
		t.Fatalf("types %v and %v", out["y"].DType, out["wide"].DType)
	}
	for i := range half {
		a, c := tensor.F16ToF32(half[i]), tensor.F16ToF32(g.Values[w].Const.F16()[i])
		if got := out["y"].F16()[i]; got != tensor.F32ToF16(a*c) {
			t.Errorf("y[%d] = %x, want %x", i, got, tensor.F32ToF16(a*c))
		}
		if got := out["wide"].F32()[i]; got != a+c {
			t.Errorf("wide[%d] = %g, want %g: sums are kept in float32", i, got, a+c)
		}
	}
	// float32 may be passed for a half input and is rounded to it.
	p, err := Compile(g, map[string]Type{"x": {tensor.F32, []int{4}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	wide, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": tensor.FromF32([]float32{0.3, 7, -1, 65504}, 4)})
	if err != nil {
		t.Fatal(err)
	}
	compareTensors(t, "wide", wide["wide"], out["wide"], 0)
}

func TestOutputsThatAreInputsOrConstants(t *testing.T) {
	b := NewBuilder("through")
	x := b.Input("x", tensor.F32, 2, 3)
	b.Output("flat", b.Op("Flatten", x))
	b.Output("four", b.Op("Add", b.Const(f32(1)), b.Const(f32(3))))
	in := map[string]tensor.Tensor{"x": randn(1, 2, 3)}
	out, s := runWith(t, buildGraph(t, b), in, Options{})
	compareTensors(t, "flat", out["flat"], in["x"], 0)
	if got := out["four"].F32()[0]; got != 4 || s.Steps != 0 {
		t.Errorf("four = %g in %d steps", got, s.Steps)
	}
	out["flat"].F32()[0]++
	if out["flat"].F32()[0] == in["x"].F32()[0] {
		t.Error("the output aliases the input")
	}
}

func TestNaNIsTraced(t *testing.T) {
	build := func(w float32) *Graph {
		b := NewBuilder("nan").Source("n.onnx")
		x := b.Input("x", tensor.F32, 2)
		y := b.Op("Mul", x, b.Const(tensor.FromF32([]float32{w, 1}, 2)))
		b.Output("y", b.Op("Exp", b.Op("Sqrt", y)))
		return buildGraph(t, b)
	}
	run := func(g *Graph, x ...float32) error {
		p, err := Compile(g, map[string]Type{"x": {tensor.F32, []int{2}}}, &Options{CheckNaN: true, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		_, err = p.Run(context.Background(), map[string]tensor.Tensor{"x": tensor.FromF32(x, 2)})
		return err
	}
	if err := run(build(1), 1, 2); err != nil {
		t.Errorf("finite run: %v", err)
	}
	var nan *NaNError
	if err := run(build(1), 1, -2); !errors.As(err, &nan) || nan.Weight != "" || !strings.Contains(err.Error(), "Sqrt_1") {
		t.Errorf("root of a negative number: %v", err)
	}
	if err := run(build(float32(math.NaN())), 1, 2); !errors.As(err, &nan) || nan.Weight == "" || !strings.Contains(err.Error(), "Mul_0") {
		t.Errorf("NaN weight: %v", err)
	}
}

func TestConcurrentRuns(t *testing.T) {
	b := NewBuilder("concurrent")
	x := b.Input("x", tensor.F32, 64)
	y := x
	for range 5 {
		y = b.Op("Add", b.Op("Tanh", y), x)
	}
	b.Output("y", y)
	p, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{64}}}, &Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := make([]map[string]tensor.Tensor, 4)
	for i := range want {
		if want[i], err = p.Run(context.Background(), map[string]tensor.Tensor{"x": randn(uint64(i), 64)}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			for range 20 {
				out, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": randn(uint64(i), 64)})
				if err != nil || !out["y"].Equal(want[i]["y"]) {
					t.Errorf("input %d: a concurrent run differs (%v)", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestPackedWeightsAreSharedAndReleased(t *testing.T) {
	b := NewBuilder("packs")
	x := b.Input("x", tensor.F32, -1, 32)
	w := randn(2, 32, 48)
	b.Output("y", b.Op("MatMul", x, b.Const(w)))
	g := buildGraph(t, b)
	var packs Packs
	released := 0
	opt := &Options{Packs: &packs, Threads: 1, Release: func(data []byte) {
		if &data[0] == &w.Data[0] {
			released++
		}
	}}
	sizes := []int{}
	for _, n := range []int{3, 8} {
		p, err := Compile(g, map[string]Type{"x": {tensor.F32, []int{n, 32}}}, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		sizes = append(sizes, packs.Bytes())
	}
	if sizes[0] == 0 || sizes[0] != sizes[1] {
		t.Errorf("packed bytes after one and two programs: %v, want equal and above 0", sizes)
	}
	if released != 2 {
		t.Errorf("the weight was released %d times, want once for each program", released)
	}
}

// TestFoldedWeightsAreNotRemembered: a weight that the compiler computed lives as long as its program, so that the shared
// packs neither grow with every program nor hold the unpacked form.
func TestFoldedWeightsAreNotRemembered(t *testing.T) {
	b := NewBuilder("folded")
	x := b.Input("x", tensor.F32, -1, 32)
	w := b.Op("Mul", b.Const(randn(2, 32, 48)), b.Const(f32(2)))
	b.Output("y", b.Op("MatMul", x, w))
	var packs Packs
	p, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{3, 32}}}, &Options{Packs: &packs, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if packs.Bytes() != 0 || p.Stats().PackedBytes == 0 || p.Stats().ConstBytes != 0 {
		t.Errorf("shared packs hold %d bytes; %+v", packs.Bytes(), p.Stats())
	}
}

func TestMemoryLimits(t *testing.T) {
	b := NewBuilder("huge").Source("h.onnx")
	x := b.Input("x", tensor.F32, 1)
	b.Output("y", b.Op("Mul", x, b.Op("ConstantOfShape", b.Const(i64s(1<<17, 1<<16)))))
	_, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{1}}}, nil)
	if err == nil || !strings.Contains(err.Error(), "GiB") {
		t.Errorf("constant of 32 GiB: %v", err)
	}
	b = NewBuilder("arena").Source("a.onnx")
	x = b.Input("x", tensor.F32, -1, 64)
	b.Output("y", b.Op("Exp", b.Op("MatMul", x, b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(1, 0)}, x))))
	g := buildGraph(t, b)
	in := map[string]Type{"x": {tensor.F32, []int{64, 64}}}
	if _, err = Compile(g, in, &Options{MaxArena: 1 << 10}); err == nil || !strings.Contains(err.Error(), "a.onnx: the intermediate values need") {
		t.Errorf("arena above the limit: %v", err)
	}
	if _, err = Compile(g, in, &Options{MaxArena: 1 << 20}); err != nil {
		t.Errorf("arena below the limit: %v", err)
	}
}

func TestPanicsOfOperatorsBecomeErrors(t *testing.T) {
	for _, where := range []string{"infer", "compile", "run"} {
		name := "Panics_" + where
		Register(Operator{
			Name: name, Domain: "test", Since: 1,
			Infer: func(c *NodeCtx) error {
				if where == "infer" {
					panic("here")
				}
				c.Out = []Type{c.In[0].Type}
				return nil
			},
			Compile: func(c *NodeCtx) (Kernel, error) {
				if where == "compile" {
					panic("here")
				}
				return Kernel{Run: func(*Frame) error { panic("here") }}, nil
			},
		})
		t.Cleanup(func() { delete(registry, opKey{"test", name}) }) // other tests walk the table
		b := NewBuilder("panics").Source("p.onnx").Opset("test", 1)
		b.Output("y", b.Op("test."+name, b.Input("x", tensor.F32, 1)))
		p, err := Compile(buildGraph(t, b), map[string]Type{"x": {tensor.F32, []int{1}}}, &Options{Threads: 1})
		if err == nil {
			_, err = p.Run(context.Background(), map[string]tensor.Tensor{"x": randn(1, 1)})
			p.Close()
		}
		var run *RunError
		if !errors.As(err, &run) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", where, err)
		}
	}
}
