package graph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

// castOf casts strings, given as an input or as a constant, and returns what Run does.
func castOf(texts []string, to tensor.DType, constant bool) (tensor.Tensor, error) {
	x := tensor.FromStrings(texts, len(texts))
	b := NewBuilder("strings")
	types, feeds := map[string]Type{}, map[string]tensor.Tensor{}
	var id ValueID
	if constant {
		id = b.Const(x)
	} else {
		id = b.Input("x", tensor.String, len(texts))
		types["x"], feeds["x"] = Type{tensor.String, x.Shape}, x
	}
	b.Output("y", b.OpA("Cast", map[string]Attr{"to": IntAttr(int(to.ONNX()))}, id))
	g, err := b.Build()
	if err != nil {
		return tensor.Tensor{}, err
	}
	p, err := Compile(g, types, &Options{Threads: 1, Paranoid: true})
	if err != nil {
		return tensor.Tensor{}, err
	}
	defer p.Close()
	out, err := p.Run(context.Background(), feeds)
	return out["y"], err
}

// TestCastStrings holds the forms that the specification of Cast lists.
func TestCastStrings(t *testing.T) {
	texts := []string{"3.14", "1000", "1e-5", "1E8", "-INF", "+inf", "0", " 7 ", "-2.75"}
	inf := math.Inf(1)
	numbers := []float64{3.14, 1000, 1e-5, 1e8, -inf, inf, 0, 7, -2.75}
	floats := make([]float32, len(numbers))
	for i, v := range numbers {
		floats[i] = float32(v)
	}
	n := len(texts)
	for _, want := range []tensor.Tensor{tensor.FromF32(floats, n), tensor.FromF64(numbers, n)} {
		for _, constant := range []bool{false, true} {
			if got, err := castOf(texts, want.DType, constant); err != nil || !got.Equal(want) {
				t.Errorf("%v (constant %v): %v %v, %v", want, constant, got, got.Data, err)
			}
		}
	}
	for _, c := range []struct {
		texts []string
		want  tensor.Tensor
	}{
		{[]string{"100", "100.5", "-7", "9223372036854775807", "1e3"}, tensor.FromI64([]int64{100, 100, -7, math.MaxInt64, 1000}, 5)},
		{[]string{"18446744073709551615", "2.5"}, tensor.FromU64([]uint64{math.MaxUint64, 2}, 2)},
		{[]string{"255", "12"}, tensor.FromU8([]uint8{255, 12}, 2)},
		{[]string{"0.5", "-448", "1e9"}, tensor.Tensor{DType: tensor.F8E4M3FN, Shape: []int{3}, Data: []byte{0x30, 0xfe, 0x7e}}},
	} {
		if got, err := castOf(c.texts, c.want.DType, false); err != nil || !got.Equal(c.want) {
			t.Errorf("%q to %v: %v %v, %v", c.texts, c.want.DType, got, got.Data, err)
		}
	}
	if got, err := castOf([]string{"NaN", "1"}, tensor.F32, false); err != nil || !math.IsNaN(float64(got.F32()[0])) {
		t.Errorf("NaN becomes %v, %v", got.Data, err)
	}
}

func TestCastStrings_Faults(t *testing.T) {
	for _, constant := range []bool{false, true} {
		var run *RunError
		if _, err := castOf([]string{"1", "one"}, tensor.F32, constant); !errors.As(err, &run) || !strings.Contains(err.Error(), `element 1, "one", is no number`) {
			t.Errorf("constant %v: %v", constant, err)
		}
		var u *UnsupportedError
		for _, to := range []tensor.DType{tensor.Bool, tensor.String} {
			if _, err := castOf([]string{"1"}, to, constant); !errors.As(err, &u) {
				t.Errorf("%v, constant %v: %v", to, constant, err)
			}
		}
	}
}

// TestStrings_Pass: strings come out as they went in, and equal ones are found by contents.
func TestStrings_Pass(t *testing.T) {
	x, fixed := tensor.FromStrings([]string{"a", "bc", ""}, 3), tensor.FromStrings([]string{"bc"})
	b := NewBuilder("strings")
	in := b.Input("x", tensor.String, 3)
	b.Output("same", b.Op("Identity", in))
	b.Output("fixed", b.Op("Identity", b.Const(fixed)))
	b.Output("equal", b.Op("Equal", in, b.Const(fixed)))
	b.Output("size", b.Op("Shape", in))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]Type{"x": {tensor.String, []int{3}}}
	p, err := Compile(g, types, &Options{Threads: 1, Paranoid: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": x})
	if err != nil {
		t.Fatal(err)
	}
	if !out["same"].Equal(x) || !out["fixed"].Equal(fixed) || fmt.Sprint(out["equal"].Bools(), out["size"].I64()) != "[false true false] [3]" {
		t.Errorf("got %v %v %v %v", out["same"].Strings(), out["fixed"].Strings(), out["equal"].Bools(), out["size"].I64())
	}
	var shape *ShapeError
	for _, data := range [][]byte{{1, 'a'}, {1, 'a', 9, 'b', 1, 'c'}, {0x80}, {1, 'a', 1, 'b', 1, 'c', 0}} {
		if _, err := p.Run(context.Background(), map[string]tensor.Tensor{"x": {DType: tensor.String, Shape: x.Shape, Data: data}}); !errors.As(err, &shape) {
			t.Errorf("strings % x: %v", data, err)
		}
	}
	var u *UnsupportedError
	if _, err := Check(g, types, nil); !errors.As(err, &u) {
		t.Errorf("for another library: %v", err)
	}
	if _, err := Compile(g, map[string]Type{"x": {tensor.String, []int{-1}}}, nil); !errors.As(err, &shape) {
		t.Errorf("a negative dimension: %v", err)
	}
}
