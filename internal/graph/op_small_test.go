package graph

import (
	"bytes"
	"context"
	"testing"

	"winnow/internal/tensor"
)

// movers are operators that move elements without looking at them; x is input 0 of shape [2,3,4].
var movers = map[string]func(b *Builder, x ValueID) ValueID{
	"Identity": func(b *Builder, x ValueID) ValueID { return b.Op("Identity", x) },
	"Reshape":  func(b *Builder, x ValueID) ValueID { return b.Op("Reshape", x, constInts(b, 6, 4)) },
	"Transpose": func(b *Builder, x ValueID) ValueID {
		return b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(2, 0, 1)}, x)
	},
	"Concat": func(b *Builder, x ValueID) ValueID { return b.OpA("Concat", map[string]Attr{"axis": IntAttr(1)}, x, x) },
	"Split": func(b *Builder, x ValueID) ValueID {
		return b.OpN("Split", map[string]Attr{"axis": IntAttr(2)}, 2, x, constInts(b, 1, 3))[1]
	},
	"Gather": func(b *Builder, x ValueID) ValueID {
		return b.OpA("Gather", map[string]Attr{"axis": IntAttr(1)}, x, constInts(b, 2, 0, -1))
	},
	"GatherND": func(b *Builder, x ValueID) ValueID {
		return b.Op("GatherND", x, b.Const(tensor.FromI64([]int64{1, 2, 0, 0}, 2, 2)))
	},
	"GatherElements": func(b *Builder, x ValueID) ValueID {
		return b.Op("GatherElements", x, b.Const(tensor.FromI64([]int64{1, 0, 1, 0}, 1, 1, 4)))
	},
	"Slice": func(b *Builder, x ValueID) ValueID {
		return b.Op("Slice", x, constInts(b, 3), constInts(b, 0), constInts(b, 2), constInts(b, -1))
	},
	"Expand": func(b *Builder, x ValueID) ValueID { return b.Op("Expand", x, constInts(b, 2, 1, 3, 4)) },
	"Tile":   func(b *Builder, x ValueID) ValueID { return b.Op("Tile", x, constInts(b, 1, 2, 2)) },
	"Pad": func(b *Builder, x ValueID) ValueID {
		return b.OpA("Pad", map[string]Attr{"mode": StringAttr("reflect")}, x, constInts(b, 1, 0, 2, 0, 1, 1))
	},
	"Compress": func(b *Builder, x ValueID) ValueID {
		return b.OpA("Compress", map[string]Attr{"axis": IntAttr(1)}, x, b.Const(tensor.FromBool([]bool{true, false, true}, 3)))
	},
	"ReverseSequence": func(b *Builder, x ValueID) ValueID {
		return b.Op("ReverseSequence", x, constInts(b, 2, 1, 2))
	},
	"Where": func(b *Builder, x ValueID) ValueID {
		return b.Op("Where", b.Const(tensor.FromBool([]bool{true, false, false, true}, 4)), x, b.OpA("Transpose", map[string]Attr{"perm": IntsAttr(0, 1, 2)}, x))
	},
}

func constInts(b *Builder, v ...int64) ValueID { return b.Const(tensor.FromI64(v, len(v))) }

// moved runs a mover on x, as an input or as a constant.
func moved(t *testing.T, name string, x tensor.Tensor, constant bool) tensor.Tensor {
	t.Helper()
	b := NewBuilder(name).Opset("", 21)
	types, feeds := map[string]Type{}, map[string]tensor.Tensor{}
	var id ValueID
	if constant {
		id = b.Const(x)
	} else {
		id = b.Input("x", x.DType, x.Shape...)
		types["x"], feeds["x"] = Type{x.DType, x.Shape}, x
	}
	b.Output("y", movers[name](b, id))
	g, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(g, types, &Options{Threads: 1, Paranoid: true})
	if err != nil {
		t.Fatalf("%s of %v: %v", name, x, err)
	}
	defer p.Close()
	out, err := p.Run(context.Background(), feeds)
	if err != nil {
		t.Fatalf("%s of %v: %v", name, x, err)
	}
	return out["y"]
}

// TestSmallTypes_Move: elements of less than 16 bits go where bytes go.
func TestSmallTypes_Move(t *testing.T) {
	for name := range movers {
		plain := tensor.New(tensor.U8, 2, 3, 4)
		for i := range plain.Data {
			plain.Data[i] = byte(i*7+1) & 3
		}
		want := moved(t, name, plain, false)
		for dt := tensor.F8E4M3FN; dt <= tensor.I2; dt++ {
			for _, constant := range []bool{false, true} {
				got := moved(t, name, tensor.Tensor{DType: dt, Shape: plain.Shape, Data: plain.Data}, constant)
				if got.DType != dt || !equalShape(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
					t.Errorf("%s of %v (constant %v): %v %v, want %v", name, dt, constant, got, got.Data, want.Data)
				}
			}
		}
	}
}
