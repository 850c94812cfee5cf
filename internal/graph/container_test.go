package graph

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

// containerInput declares an input that is a container of float32 tensors.
func containerInput(b *Builder, name string, c Container) ValueID {
	id := b.Input(name, tensor.F32)
	b.g.Values[id].Container, b.g.Values[id].Dims = c, nil
	return id
}

func at(b *Builder, i int64) ValueID { return b.Const(tensor.FromI64([]int64{i})) }

// runVectors compiles a graph for float32 vectors and runs it.
func runVectors(b *Builder, in map[string][]float32) (map[string]tensor.Tensor, error) {
	g, err := b.Build()
	if err != nil {
		return nil, err
	}
	feeds := map[string]tensor.Tensor{}
	for name, v := range in {
		feeds[name] = tensor.FromF32(v, len(v))
	}
	p, err := Compile(g, typesOf(feeds), nil)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Run(context.Background(), feeds)
}

var threeVectors = map[string][]float32{"s[0]": {1}, "s[1]": {2, 3}, "s[2]": {4}}

// TestSequence_Positions: operators count positions from the front, and from the end when they are negative.
func TestSequence_Positions(t *testing.T) {
	for _, c := range []struct {
		op   string
		at   []int64
		want [][]float32 // nil: refused
	}{
		{"SequenceInsert", nil, [][]float32{{1}, {2, 3}, {4}, {9}}},
		{"SequenceInsert", []int64{0}, [][]float32{{9}, {1}, {2, 3}, {4}}},
		{"SequenceInsert", []int64{3}, [][]float32{{1}, {2, 3}, {4}, {9}}},
		{"SequenceInsert", []int64{-1}, [][]float32{{1}, {2, 3}, {9}, {4}}},
		{"SequenceInsert", []int64{4}, nil},
		{"SequenceInsert", []int64{-4}, nil},
		{"SequenceErase", nil, [][]float32{{1}, {2, 3}}},
		{"SequenceErase", []int64{0}, [][]float32{{2, 3}, {4}}},
		{"SequenceErase", []int64{-2}, [][]float32{{1}, {4}}},
		{"SequenceErase", []int64{3}, nil},
	} {
		b := NewBuilder("positions")
		args := []ValueID{containerInput(b, "s", Sequence)}
		if c.op == "SequenceInsert" {
			args = append(args, b.Const(tensor.FromF32([]float32{9}, 1)))
		}
		for _, i := range c.at {
			args = append(args, at(b, i))
		}
		b.Output("y", b.Op(c.op, args...))
		out, err := runVectors(b, threeVectors)
		if c.want == nil {
			var s *ShapeError
			if !errors.As(err, &s) || !strings.Contains(s.Why, "outside a sequence") {
				t.Errorf("%s at %v: error %v", c.op, c.at, err)
			}
			continue
		}
		if err != nil || len(out) != len(c.want) {
			t.Errorf("%s at %v: %v, %v", c.op, c.at, out, err)
			continue
		}
		for i, want := range c.want {
			if got := out[Element("y", i)].F32(); !slices.Equal(got, want) {
				t.Errorf("%s at %v: element %d is %v, want %v", c.op, c.at, i, got, want)
			}
		}
	}
}

// TestContainers_Refusals: what is not known, or not of the right kind, is refused with the operator or input at fault.
func TestContainers_Refusals(t *testing.T) {
	for _, c := range []struct {
		why   string
		in    map[string][]float32
		build func(b *Builder) ValueID
	}{
		{"must be known", map[string][]float32{"s[0]": {1}, "x": {0}}, func(b *Builder) ValueID {
			i := b.OpA("Cast", map[string]Attr{"to": IntAttr(int(tensor.I64.ONNX()))}, b.Input("x", tensor.F32, 1))
			return b.Op("SequenceAt", containerInput(b, "s", Sequence), i)
		}},
		{"a tensor is required", threeVectors, func(b *Builder) ValueID { return b.Op("Abs", containerInput(b, "s", Sequence)) }},
		{"a sequence is required", map[string][]float32{"x": {1}}, func(b *Builder) ValueID {
			return b.Op("SequenceLength", b.Input("x", tensor.F32, 1))
		}},
		{"an optional that holds nothing", nil, func(b *Builder) ValueID {
			return b.Op("OptionalGetElement", containerInput(b, "o", Optional))
		}},
		{"in a sequence of", nil, func(b *Builder) ValueID {
			return b.Op("SequenceConstruct", at(b, 1), b.Const(tensor.FromF32([]float32{1}, 1)))
		}},
		{"more than", map[string][]float32{"x": {1}}, func(b *Builder) ValueID {
			x := b.Op("Expand", b.Input("x", tensor.F32, 1), b.Const(tensor.FromI64([]int64{1 << 20}, 1)))
			return b.Op("SequenceLength", b.Op("SplitToSequence", x))
		}},
		{"no such input", map[string][]float32{"s[0]": {1}, "s[2]": {1}}, func(b *Builder) ValueID {
			return b.Op("SequenceLength", containerInput(b, "s", Sequence))
		}},
		{"declared as", threeVectors, func(b *Builder) ValueID {
			s := containerInput(b, "s", Sequence)
			b.g.Values[s].DType = tensor.I64
			return b.Op("SequenceLength", s)
		}},
	} {
		b := NewBuilder("refused")
		b.Output("y", c.build(b))
		_, err := runVectors(b, c.in)
		var s *ShapeError
		var u *UnsupportedError
		if !errors.As(err, &s) && !errors.As(err, &u) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("want a typed error with %q, got %v", c.why, err)
		}
	}
}

// TestOptional_Border: an optional tensor has its own name, an optional sequence those of its elements, and either may be
// left out.
func TestOptional_Border(t *testing.T) {
	for _, c := range []struct {
		kind Container
		in   map[string][]float32
	}{
		{Optional, nil},
		{Optional, map[string][]float32{"o": {1, 2}}},
		{OptionalSequence, nil},
		{OptionalSequence, map[string][]float32{"o[0]": {1}, "o[1]": {2, 3}}},
	} {
		b := NewBuilder("optional")
		o := containerInput(b, "o", c.kind)
		b.Output("has", b.Op("OptionalHasElement", o))
		b.Output("y", b.Op("Identity", o))
		out, err := runVectors(b, c.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := out["has"].Bools()[0]; got != (len(c.in) > 0) || len(out) != 1+len(c.in) {
			t.Errorf("%v given %v: has is %v, results %v", c.kind, c.in, got, out)
		}
		for name, want := range c.in {
			if got := out[strings.Replace(name, "o", "y", 1)].F32(); !slices.Equal(got, want) {
				t.Errorf("%v: %s comes back as %v", c.kind, name, got)
			}
		}
	}
}

// TestSequence_Gradient: y = s[1]·s[1] + s[0], so ∂y/∂s[0] = 1, ∂y/∂s[1] = 2·s[1] and ∂y/∂s[2] = 0.
func TestSequence_Gradient(t *testing.T) {
	b := NewBuilder("gradient")
	s := containerInput(b, "s", Sequence)
	x := b.Op("SequenceAt", s, at(b, -2))
	b.Output("y", b.Op("Add", b.Op("Mul", x, x), b.Op("SequenceAt", s, at(b, 0))))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]tensor.Tensor{
		"s[0]": tensor.FromF32([]float32{5, 6}, 2), "s[1]": tensor.FromF32([]float32{3, -4}, 2), "s[2]": tensor.FromF32([]float32{7}, 1),
	}
	p, err := CompileGradient(g, typesOf(in), GradientSpec{Wrt: []string{"s[0]", "s[1]", "s[2]"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Forward(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	grads, err := p.Backward(context.Background(), map[string]tensor.Tensor{"y": tensor.FromF32([]float32{1, 10}, 2)})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{"s[0]": {1, 10}, "s[1]": {6, -80}, "s[2]": {0}} {
		if got := grads[name].F32(); !slices.Equal(got, want) {
			t.Errorf("gradient of %s is %v, want %v", name, got, want)
		}
	}
}

// TestIf_ChoosesBetweenSequences: a condition over contents selects element by element.
func TestIf_ChoosesBetweenSequences(t *testing.T) {
	branch := func(v float32) Attr {
		b := NewBuilder("branch")
		b.Output("y", b.Op("SequenceConstruct", b.Const(tensor.FromF32([]float32{v}, 1)), b.Const(tensor.FromF32([]float32{-v}, 1))))
		g, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return GraphAttr(g)
	}
	for x, want := range map[float32]float32{1: 3, -1: 8} {
		b := NewBuilder("if")
		cond := b.Op("Greater", b.Input("x", tensor.F32, 1), b.Const(tensor.FromF32([]float32{0}, 1)))
		b.Output("y", b.OpA("If", map[string]Attr{"then_branch": branch(3), "else_branch": branch(8)}, cond))
		out, err := runVectors(b, map[string][]float32{"x": {x}})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := out["y[0]"].F32(), out["y[1]"].F32(); len(out) != 2 || a[0] != want || b[0] != -want {
			t.Errorf("x = %v: %v and %v, want ±%v", x, a, b, want)
		}
	}
}
