package onnx

import (
	"errors"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// typedProto writes a TensorProto with one typed data field, unpacked unless the values are given as bytes.
func typedProto(name string, elem int64, dims []int64, field protowire.Number, packed []byte) []byte {
	var b []byte
	for _, d := range dims {
		b = appendInt(b, 1, d)
	}
	return appendMessage(appendText(appendInt(b, 2, elem), 8, name), field, packed)
}

func opset(version int64) []byte { return appendMessage(nil, 8, appendInt(nil, 2, version)) }

func TestBadModels(t *testing.T) {
	use := node(nodeProto("Add", []string{"x", "w"}, []string{"y"}))
	w := func(t []byte) []byte { return modelProto(initializer(t), use) }
	wrongType := appendInt(nil, 11, 7)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "empty"},
		{"text", []byte("<html>not a model</html>"), "byte 0"},
		{"zeros", make([]byte, 100), "no field"},
		{"no graph", appendInt(nil, 1, 8), "no graph"},
		{"two graphs", append(modelProto(identity), modelProto(identity)...), "second graph"},
		{"no opset", modelProto(identity)[:len(modelProto(identity))-len(opset(17))], "imports no operator set"},
		{"two opsets", append(modelProto(identity), opset(18)...), "versions 17 and 18"},
		{"opset 0", append(modelProto(identity), appendMessage(nil, 8, appendText(nil, 1, "d"))...), "out of range"},
		{"wire type", appendMessage(nil, 7, wrongType), "wire type"},
		{"unknown domain", modelProto(node(appendText(nodeProto("F", []string{"x"}, []string{"y"}), 7, "acme"))), `domain "acme"`},
		{"no output", append(opset(17), appendMessage(nil, 7, node(nodeProto("Identity", []string{"x"}, []string{"y"})))...), "without outputs"},
		{"undefined input", modelProto(node(nodeProto("Identity", []string{"z"}, []string{"y"}))), `input 0, "z"`},
		{"undefined output", modelProto(node(nodeProto("Identity", []string{"x"}, []string{"z"}))), `output "y"`},
		{"wrong order", modelProto(node(nodeProto("Neg", []string{"a"}, []string{"y"})), node(nodeProto("Neg", []string{"x"}, []string{"a"}))), `input 0, "a"`},
		{"cycle", modelProto(node(nodeProto("Add", []string{"x", "b"}, []string{"a"})), node(nodeProto("Neg", []string{"a"}, []string{"b"})),
			node(nodeProto("Neg", []string{"a"}, []string{"y"}))), `input 1, "b"`},
		{"own input", modelProto(node(nodeProto("Add", []string{"x", "y"}, []string{"y"}))), `input 1, "y"`},
		{"output twice", modelProto(identity, identity), "defined twice"},
		{"same output", modelProto(node(nodeProto("Split", []string{"x"}, []string{"y", "y"}))), "defined twice"},
		{"redefined input", modelProto(node(nodeProto("Neg", []string{"x"}, []string{"x"})), identity), "defined twice"},
		{"weight twice", modelProto(initializer(tensorProto("w", 1, nil, 0)), initializer(tensorProto("w", 1, nil, 0)), use), "defined twice"},
		{"input twice", modelProto(appendMessage(nil, 11, appendText(nil, 1, "x")), identity), "defined twice"},
		{"no op", modelProto(node(nodeProto("", []string{"x"}, []string{"y"}))), "lacks its operator"},
		{"no results", modelProto(identity, node(nodeProto("Neg", []string{"x"}, nil))), "lacks its operator or its outputs"},
		{"unnamed results", modelProto(identity, node(nodeProto("Neg", []string{"x"}, []string{"", ""}))), "without outputs"},
		{"unnamed weight", w(tensorProto("", 1, nil, 0)), "without a name"},
		{"name not UTF-8", modelProto(node(nodeProto("Identity", []string{"\xff"}, []string{"y"}))), "UTF-8"},
		{"attribute twice", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, appendInt(appendInt(appendText(nil, 1, "a"), 3, 1), 20, 2),
			appendInt(appendInt(appendText(nil, 1, "a"), 3, 2), 20, 2)))), "disagree"},
		{"attribute without type", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, appendText(nil, 1, "a")))), "neither type nor value"},
		{"attribute without tensor", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, appendInt(appendText(nil, 1, "a"), 20, 4)))), "no value"},
		{"attribute of a function", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, appendText(appendInt(appendText(nil, 1, "a"), 20, 1), 21, "r")))), "no usable value"},
		{"attribute of a function, tensor", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, appendText(appendInt(appendText(nil, 1, "a"), 20, 4), 21, "r")))), "no usable value"},
		{"sparse attribute", modelProto(node(nodeProto("Constant", nil, []string{"y"}, attrProto("sparse_value", 11, 22, nil)))), "not supported"},
		{"list of graphs", modelProto(node(nodeProto("Elu", []string{"x"}, []string{"y"}, attrProto("a", 10, 11, nil)))), "not supported"},
		{"sparse weight", modelProto(appendMessage(nil, 15, nil), identity), "not supported"},
		{"constant without value", modelProto(node(nodeProto("Constant", nil, []string{"y"}))), "one attribute"},
		{"constant of a kind", modelProto(node(nodeProto("Constant", nil, []string{"y"}, appendInt(appendInt(appendText(nil, 1, "value"), 3, 1), 20, 2)))), "of type int"},
		{"sequence input", modelProto(appendMessage(nil, 11, appendMessage(appendText(nil, 1, "s"), 2, appendMessage(nil, 4, nil))), identity), "not supported"},
		{"complex input", modelProto(appendMessage(nil, 11, appendMessage(appendText(nil, 1, "s"), 2, appendMessage(nil, 1, appendInt(nil, 1, 14)))), identity), "not supported"},

		{"short weight", w(tensorProto("w", 1, make([]byte, 11), 3)), "needs 12 bytes, the file has 11"},
		{"long weight", w(tensorProto("w", 1, make([]byte, 13), 3)), "needs 12 bytes, the file has 13"},
		{"no data", w(appendText(appendInt(appendInt(nil, 1, 3), 2, 1), 8, "w")), "needs 12 bytes, the file has 0"},
		{"negative dimension", w(tensorProto("w", 1, nil, -1)), "out of range"},
		{"overflowing shape", w(tensorProto("w", 1, nil, 1<<40, 1<<40)), "more elements"},
		{"overflowing bytes", w(tensorProto("w", 1, nil, 1<<61)), "more bytes"},
		{"huge shape", w(tensorProto("w", 1, make([]byte, 4), 1<<40)), "needs 4398046511104 bytes"},
		{"huge typed shape", w(typedProto("w", 7, []int64{1 << 40}, 7, []byte{1, 2})), "needs 1099511627776 numbers"},
		{"unknown type", w(tensorProto("w", 14, []byte{0}, 1)), "complex64: not supported"},
		{"short packed weight", w(tensorProto("w", 21, []byte{0}, 3)), "needs 2 bytes, the file has 1"},
		{"undefined type", w(tensorProto("w", 0, nil, 1)), "undefined"},
		{"type out of range", w(tensorProto("w", 1<<40, nil, 1)), "not supported"},
		{"bool of two", w(tensorProto("w", 9, []byte{0, 2}, 2)), "element 1 of a bool"},
		{"segment", w(appendMessage(tensorProto("w", 1, nil, 0), 3, nil)), "segments"},
		{"raw and typed", w(appendMessage(tensorProto("w", 1, make([]byte, 4), 1), 4, make([]byte, 4))), "both raw_data"},
		{"wrong field", w(typedProto("w", 1, []int64{1}, 7, []byte{1})), "belong in float_data"},
		{"two fields", w(appendInt(typedProto("w", 1, []int64{1}, 4, make([]byte, 4)), 7, 1)), "both float_data and int64_data"},
		{"number out of range", w(typedProto("w", 3, []int64{1}, 5, protowire.AppendVarint(nil, 128))), "128 does not fit int8"},
		{"half out of range", w(typedProto("w", 10, []int64{1}, 5, protowire.AppendVarint(nil, 65536))), "does not fit float16"},
		{"negative unsigned", w(typedProto("w", 12, []int64{1}, 11, protowire.AppendVarint(nil, 1<<63))), "does not fit uint32"},
		{"cut number", w(typedProto("w", 7, []int64{1}, 7, []byte{0x80})), "within a number"},
		{"ragged floats", w(typedProto("w", 1, []int64{1}, 4, make([]byte, 5))), "needs 4 bytes, the file has 5"},
		{"raw strings", w(tensorProto("w", 8, []byte("a"), 1)), "string_data"},
		{"missing string", w(typedProto("w", 8, []int64{2}, 6, []byte("a"))), "needs 2 strings, the file has 1"},
		{"external without location", w(appendInt(tensorProto("w", 1, nil, 1), 14, 1)), "does not say where"},
	} {
		m, err := Parse("dir/x.onnx", c.data, nil)
		var file *FileError
		if !errors.As(err, &file) || !strings.Contains(err.Error(), c.want) || file.File != "dir/x.onnx" || m != nil {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "the reader failed") {
			t.Errorf("%s: caught a panic: %v", c.name, err)
		}
		if strings.HasSuffix(c.want, "not supported") && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: not an ErrUnsupported", c.name)
		}
	}
}

// nested wraps a graph n times into the branch of an If.
func nested(n int) []byte {
	g := appendMessage(appendMessage(nil, 1, nodeProto("Identity", []string{"x"}, []string{"z"})), 12, appendText(nil, 1, "z"))
	for range n {
		g = appendMessage(appendMessage(nil, 1, nodeProto("If", []string{"x"}, []string{"z"}, attrProto("then_branch", 5, 6, g))), 12, appendText(nil, 1, "z"))
	}
	return modelProto(node(nodeProto("If", []string{"x"}, []string{"y"}, attrProto("then_branch", 5, 6, g))))
}

func TestNestingIsBounded(t *testing.T) {
	m, err := Parse("x", nested(maxDepth-1), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	for range maxDepth {
		g = g.Nodes[0].Attrs["then_branch"].G
	}
	if id, ok := g.Lookup("x"); !ok || g.Nodes[0].Inputs[0] != id || g.Value(id).Const != nil {
		t.Error("the innermost graph does not read x from around it")
	}
	if _, err := Parse("x", nested(maxDepth), nil); err == nil || !strings.Contains(err.Error(), "nest deeper") {
		t.Errorf("error %v", err)
	}
}

// A file that ends early is an error at every length; the exceptions are lengths at which the model is complete.
func TestEveryTruncationFails(t *testing.T) {
	for _, name := range []string{"branches", "constants", "functions", "dtypes", "attributes", "dynamo20_f16"} {
		data, err := os.ReadFile("testdata/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		complete := completeLengths(t, data)
		for n := range data {
			_, err := Parse("x", data[:n], nil)
			var file *FileError
			if err != nil && !errors.As(err, &file) || err != nil && strings.Contains(err.Error(), "the reader failed") {
				t.Fatalf("%s: the first %d bytes: %v", name, n, err)
			}
			if (err == nil) != complete[n] {
				t.Fatalf("%s: the first %d of %d bytes: error %v", name, n, len(data), err)
			}
		}
	}
}

// completeLengths lists the prefixes that end between two fields of the model and hold the graph and all operator sets.
// (Without its definition a function is an operator of an imported domain: legal here, refused when it is compiled.)
func completeLengths(t *testing.T, data []byte) map[int]bool {
	t.Helper()
	count := func(data []byte) (n int, ends []int) {
		for pos := 0; pos < len(data); {
			num, _, w := protowire.ConsumeField(data[pos:])
			if w < 0 {
				t.Fatal("bad field")
			}
			pos += w
			ends = append(ends, pos)
			if num == 7 || num == 8 {
				n++
			}
		}
		return n, ends
	}
	all, ends := count(data)
	complete := map[int]bool{}
	for _, end := range ends {
		if n, _ := count(data[:end]); n == all {
			complete[end] = true
		}
	}
	return complete
}

// Random damage must give an error or a model, never a panic.
func TestDamageNeverPanics(t *testing.T) {
	for _, name := range []string{"branches", "constants", "functions", "dtypes", "attributes"} {
		data, err := os.ReadFile("testdata/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			for _, b := range []byte{0, 0xff, data[i] ^ 1, data[i] ^ 0x80, data[i] + 1} {
				damaged := append([]byte(nil), data...)
				damaged[i] = b
				if _, err := Parse("x", damaged, nil); err != nil && strings.Contains(err.Error(), "the reader failed") {
					t.Fatalf("%s with byte %d set to %#x: %v", name, i, b, err)
				}
			}
		}
	}
}

// Old files list their initializers as inputs too, leave out attribute types, and name the standard domain.
func TestOldForms(t *testing.T) {
	in := appendMessage(nil, 11, appendText(nil, 1, "w"))
	n := nodeProto("Elu", []string{"x"}, []string{"e"}, appendMessage(appendText(nil, 1, "alpha"), 4, []byte("s")))
	n = appendText(n, 7, "ai.onnx")
	m, err := Parse("x", modelProto(in, initializer(tensorProto("w", 1, make([]byte, 4), 1)), node(n),
		node(nodeProto("Add", []string{"e", "w", ""}, []string{"y", ""}))), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Graph
	if len(g.Inputs) != 1 || g.Value(g.Inputs[0]).Name != "x" || g.Nodes[0].Domain != "" || g.Nodes[0].Opset != 17 ||
		g.Nodes[0].Attrs["alpha"].Kind != graph.AttrString || len(g.Nodes[1].Inputs) != 2 || len(g.Nodes[1].Outputs) != 1 {
		t.Errorf("%+v", g)
	}
	if v := g.Value(g.Nodes[1].Inputs[1]); v.Const == nil || v.DType != tensor.F32 || v.Dims[0].Size != 1 {
		t.Errorf("%+v", v)
	}
}

// Numbers that come in several parts, packed and not, are joined; numbers in one part stay where they are.
func TestTypedDataInParts(t *testing.T) {
	float := func(v float32) []byte { return tensor.FromF32([]float32{v}, 1).Data }
	b := typedProto("w", 1, []int64{3}, 4, append(float(1), float(2)...))
	b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), 0x40400000)
	ints := appendInt(appendInt(typedProto("i", 7, []int64{4}, 7, []byte{1, 0x80, 1}), 7, -1), 7, 5)
	one := typedProto("o", 1, []int64{2}, 4, append(float(1), float(2)...))
	data := modelProto(initializer(b), initializer(ints), initializer(one), identity)
	m, err := Parse("x", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tensor.Tensor{
		"w": tensor.FromF32([]float32{1, 2, 3}, 3), "i": tensor.FromI64([]int64{1, 128, -1, 5}, 4),
		"o": tensor.FromF32([]float32{1, 2}, 2),
	} {
		id, _ := m.Graph.Lookup(name)
		if got := m.Graph.Value(id).Const; got == nil || !got.Equal(want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	id, _ := m.Graph.Lookup("o")
	if o := m.Graph.Value(id).Const.Data; &o[0] != &data[strings.LastIndex(string(data), string(o))] {
		t.Error("packed floats in one part were copied")
	}
}
