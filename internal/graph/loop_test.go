package graph

import (
	"context"
	"errors"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

// doubling is a Loop that doubles x in each iteration; its condition is passed on.
func doubling(t *testing.T, trips func(b *Builder) ValueID) *Graph {
	t.Helper()
	body := NewBuilder("body")
	body.Input("i", tensor.I64)
	cond, v := body.Input("cond", tensor.Bool), body.Input("v", tensor.F32, 2)
	body.Output("cond", cond)
	body.Output("twice", body.Op("Add", v, v))
	g, err := body.Build()
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder("loop")
	x := b.Input("x", tensor.F32, 2)
	b.Output("y", b.OpA("Loop", map[string]Attr{"body": GraphAttr(g)}, trips(b), b.Const(tensor.FromBool([]bool{true})), x))
	loop, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return loop
}

func TestLoop_Unrolls(t *testing.T) {
	g := doubling(t, func(b *Builder) ValueID { return b.Const(tensor.FromI64([]int64{5})) })
	p, err := Compile(g, map[string]Type{"x": {tensor.F32, []int{2}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": tensor.FromF32([]float32{1, 3}, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if y := out["y"].F32(); y[0] != 32 || y[1] != 96 {
		t.Errorf("five doublings of 1 and 3 are %v", y)
	}
}

// TestLoop_Refusals: a loop whose end is not known, or too far away, is refused when it is compiled.
func TestLoop_Refusals(t *testing.T) {
	for _, c := range []struct {
		name, why string
		trips     func(b *Builder) ValueID
		inputs    map[string]Type
	}{
		{"endless", "more than", func(*Builder) ValueID { return None }, nil},
		{"computed", "must be known", func(b *Builder) ValueID { return b.Input("n", tensor.I64) }, map[string]Type{"n": {tensor.I64, []int{}}}},
		{"long", "more than", func(b *Builder) ValueID { return b.Const(tensor.FromI64([]int64{1 << 40})) }, nil},
	} {
		types := map[string]Type{"x": {tensor.F32, []int{2}}}
		for name, typ := range c.inputs {
			types[name] = typ
		}
		_, err := Compile(doubling(t, c.trips), types, nil)
		var u *UnsupportedError
		if !errors.As(err, &u) || u.Op != "Loop" || !strings.Contains(u.Why, c.why) {
			t.Errorf("%s: error %v, want an *UnsupportedError about Loop with %q", c.name, err, c.why)
		}
	}
}
