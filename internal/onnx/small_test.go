package onnx

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// smallWeights has a weight "w" of 7 elements of each type of less than 16 bits, and how a file packs them.
var smallWeights = []struct {
	dt           tensor.DType
	want, packed []byte
}{
	{tensor.F8E4M3FN, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}},
	{tensor.F8E4M3FNUZ, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}},
	{tensor.F8E5M2, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}},
	{tensor.F8E5M2FNUZ, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}},
	{tensor.F8E8M0, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}, []byte{0, 1, 0x7f, 0x80, 0xff, 8, 9}},
	{tensor.F4E2M1, []byte{0, 1, 15, 8, 7, 6, 5}, []byte{0x10, 0x8f, 0x67, 0x05}},
	{tensor.U4, []byte{0, 1, 15, 8, 7, 6, 5}, []byte{0x10, 0x8f, 0x67, 0x05}},
	{tensor.I4, []byte{0, 1, 15, 8, 7, 6, 5}, []byte{0x10, 0x8f, 0x67, 0x05}},
	{tensor.U2, []byte{0, 1, 2, 3, 3, 2, 1}, []byte{0b11_10_01_00, 0b01_10_11}},
	{tensor.I2, []byte{0, 1, 2, 3, 3, 2, 1}, []byte{0b11_10_01_00, 0b01_10_11}},
}

// weightOf returns the contents of value "w".
func weightOf(t *testing.T, g *graph.Graph) tensor.Tensor {
	t.Helper()
	for _, v := range g.Values {
		if v.Name == "w" && v.Const != nil {
			return *v.Const
		}
	}
	t.Fatal("the graph has no weight w")
	return tensor.Tensor{}
}

// TestSmallWeights reads packed weights from raw_data, int32_data and external data, and writes them as they were.
func TestSmallWeights(t *testing.T) {
	use := node(nodeProto("Cast", []string{"w"}, []string{"y"}, appendInt(appendInt(appendText(nil, 1, "to"), 3, 1), 20, 2)))
	for _, c := range smallWeights {
		var varints []byte
		for _, b := range c.packed {
			varints = protowire.AppendVarint(varints, uint64(b))
		}
		number := int64(c.dt.ONNX())
		external := appendText(appendInt(appendInt(nil, 1, 7), 2, number), 8, "w")
		for form, data := range map[string][]byte{
			"raw":      tensorProto("w", number, c.packed, 7),
			"typed":    typedProto("w", number, []int64{7}, 5, varints),
			"external": appendExternal(external, "file", 3, len(c.packed)),
		} {
			m, err := Parse("m.onnx", modelProto(initializer(data), use), func(string) ([]byte, error) {
				return append([]byte{9, 9, 9}, c.packed...), nil
			})
			if err != nil {
				t.Fatalf("%v, %s: %v", c.dt, form, err)
			}
			if w := weightOf(t, m.Graph); w.DType != c.dt || !bytes.Equal(w.Data, c.want) {
				t.Errorf("%v, %s: read %v %v, want %v", c.dt, form, w, w.Data, c.want)
			}
			if e, again := reparse(t, m.Graph, nil); !bytes.Contains(e.Bytes, c.packed) || !weightOf(t, again).Equal(weightOf(t, m.Graph)) {
				t.Errorf("%v, %s: written as % x, read again as %v", c.dt, form, e.Bytes, weightOf(t, again).Data)
			}
		}
	}
}

// TestSmallWeightsBeside: a weight without room inside the model is declared with the length that it has when packed.
func TestSmallWeightsBeside(t *testing.T) {
	for _, c := range smallWeights {
		b := graph.NewBuilder("m").Opset("", 25)
		w := b.Const(tensor.Tensor{DType: c.dt, Shape: []int{7}, Data: c.want})
		b.Output("y", b.OpA("Cast", map[string]graph.Attr{"to": graph.IntAttr(1)}, w))
		g, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		g.Values[w].Name = "w"
		e, err := Write(g, &WriteOptions{MaxInline: 1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse("m.onnx", e.Bytes, func(string) ([]byte, error) { return e.Side[0].Tensor.Packed(), nil })
		if err != nil {
			t.Fatalf("%v: %v", c.dt, err)
		}
		if w := weightOf(t, m.Graph); !bytes.Equal(w.Data, c.want) {
			t.Errorf("%v: read %v, want %v", c.dt, w.Data, c.want)
		}
	}
}
