package onnx

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	gonum "gonum.org/v1/gonum/graph"
	"google.golang.org/protobuf/encoding/protowire"
	tensors "gorgonia.org/tensor"

	"winnow/internal/graph"
)

// carrier is a value that takes tensors from onnx-go, as this package's own does not.
type carrier struct {
	value
	t tensors.Tensor
}

func (c *carrier) SetTensor(t tensors.Tensor) error { c.t = t; return nil }
func (c *carrier) GetTensor() tensors.Tensor        { return c.t }

// probe is a backend made of carriers.
type probe struct{ *backend }

func (p *probe) NewNode() gonum.Node {
	p.last++
	return &carrier{value: value{id: p.last}}
}

func (p *probe) ApplyOperation(op onnxgo.Operation, _ ...gonum.Node) error {
	p.ops = append(p.ops, operation{op: op.Name, attrs: op.Attributes})
	return nil
}

// tensorProto writes a TensorProto with raw data.
func tensorProto(name string, elem int64, raw []byte, dims ...int64) []byte {
	var b []byte
	for _, d := range dims {
		b = appendInt(b, 1, d)
	}
	b = appendInt(b, 2, elem)
	b = appendText(b, 8, name)
	return appendMessage(b, 9, raw)
}

// attrProto writes an AttributeProto with one value field.
func attrProto(name string, typ int64, field protowire.Number, msg []byte) []byte {
	b := appendMessage(appendText(nil, 1, name), field, msg)
	return appendInt(b, 20, typ)
}

// nodeProto writes a NodeProto.
func nodeProto(op string, inputs, outputs []string, attrs ...[]byte) []byte {
	var b []byte
	for _, s := range inputs {
		b = appendText(b, 1, s)
	}
	for _, s := range outputs {
		b = appendText(b, 2, s)
	}
	b = appendText(b, 4, op)
	for _, a := range attrs {
		b = appendMessage(b, 5, a)
	}
	return b
}

// modelProto writes a ModelProto around GraphProto fields, with one input x and one output y of unknown type.
func modelProto(graphFields ...[]byte) []byte {
	var g []byte
	for _, f := range graphFields {
		g = append(g, f...)
	}
	g = appendMessage(g, 11, appendText(nil, 1, "x"))
	g = appendMessage(g, 12, appendText(nil, 1, "y"))
	m := appendInt(nil, 1, 8)
	m = appendMessage(m, 7, g)
	return appendMessage(m, 8, appendInt(nil, 2, 17))
}

func initializer(t []byte) []byte { return appendMessage(nil, 5, t) }
func node(n []byte) []byte        { return appendMessage(nil, 1, n) }

var identity = node(nodeProto("Identity", []string{"x"}, []string{"y"}))

// decodeDirectly gives a model to onnx-go as it is. A panic comes back as an error that begins with "panic".
func decodeDirectly(b onnxgo.Backend, data []byte) (m *onnxgo.Model, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m = onnxgo.NewModel(b)
	return m, m.UnmarshalBinary(data)
}

// TestOnnxGoLimits holds one probe for every limit of onnx-go that this package works around. A probe that fails means
// that a newer onnx-go has lifted the limit: then simplify the workaround and drop the probe.
func TestOnnxGoLimits(t *testing.T) {
	external := appendMessage(appendInt(appendInt(nil, 1, 1), 2, 1), 13, appendText(appendText(nil, 1, "location"), 2, "w"))
	external = appendText(appendInt(external, 14, 1), 8, "w")
	if _, err := decodeDirectly(&probe{newBackend()}, modelProto(initializer(external), identity)); err == nil ||
		!strings.Contains(err.Error(), "No data found") {
		t.Errorf("external data: %v", err)
	}
	for _, elem := range []int64{10, 16, 2, 3, 4, 5, 12, 13, 8} {
		raw := make([]byte, 16)
		_, err := decodeDirectly(&probe{newBackend()}, modelProto(initializer(tensorProto("w", elem, raw, 1)), identity))
		if err == nil {
			t.Errorf("an initializer of %s is decoded now", elemName(int32(elem)))
		}
	}
	half := node(nodeProto("Constant", nil, []string{"c"}, attrProto("value", 4, 5, tensorProto("", 10, make([]byte, 2), 1))))
	if _, err := decodeDirectly(newBackend(), modelProto(half, identity)); err == nil {
		t.Error("a float16 attribute is decoded now, without data carriers")
	}
	empty := node(nodeProto("Constant", nil, []string{"c"}, attrProto("value", 4, 5, tensorProto("", 7, nil, 0))))
	if _, err := decodeDirectly(newBackend(), modelProto(empty, identity)); err == nil {
		t.Error("an attribute tensor of length zero is decoded now")
	}
	sub := appendMessage(nil, 12, appendText(nil, 1, "z"))
	branch := node(nodeProto("If", []string{"x"}, []string{"y"}, attrProto("then_branch", 5, 6, sub)))
	if _, err := decodeDirectly(newBackend(), modelProto(branch)); err == nil {
		t.Error("a graph attribute is decoded now")
	}
	if _, err := decodeDirectly(newBackend(), modelProto()); err == nil {
		t.Error("a graph without nodes is decoded now")
	}
}

// onnx-go reads eight bytes for each element of a bool tensor in raw form.
func TestOnnxGoRawBool(t *testing.T) {
	p := &probe{newBackend()}
	data := modelProto(initializer(tensorProto("w", 9, []byte{1, 0, 1}, 3)), identity)
	m, err := decodeDirectly(p, data)
	if err != nil {
		return // refused: also a limit
	}
	n, _ := m.GetNodeByName("w")
	if got, ok := n.(*carrier).t.Data().([]bool); ok && len(got) == 3 && got[0] && !got[1] && got[2] {
		t.Error("raw bool tensors are decoded correctly now")
	}
}

// onnx-go hands over operator type and attributes, but neither the node's name nor its domain.
func TestOnnxGoOperationIsBare(t *testing.T) {
	n := appendText(appendText(nodeProto("Gelu", []string{"x"}, []string{"y"}), 3, "the name"), 7, "the.domain")
	b := newBackend()
	if _, err := decodeDirectly(b, modelProto(node(n))); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", b.ops); len(b.ops) != 1 || strings.Contains(got, "the name") || strings.Contains(got, "the.domain") {
		t.Errorf("operations carry more now: %s", got)
	}
}

// Repeated inputs arrive as two equal edges, absent ones as a value without a name, and a node without inputs gets one.
func TestOnnxGoEdges(t *testing.T) {
	b := newBackend()
	_, err := decodeDirectly(b, modelProto(
		node(appendText(nodeProto("RandomNormal", nil, []string{"r"}), 3, "gen")),
		node(nodeProto("Mul", []string{"x", "x"}, []string{"s"})),
		node(nodeProto("Clip", []string{"s", "", "r"}, []string{"y"})),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := "[[gen/input] [x x] [s  r]]"
	if got := fmt.Sprint([][]string{b.ops[0].inputs, b.ops[1].inputs, b.ops[2].inputs}); got != want {
		t.Errorf("inputs %s, want %s", got, want)
	}
	x, _ := gonumNode(b, "x")
	s, _ := gonumNode(b, "s")
	if n := b.From(s.ID()).Len(); n != 1 || !b.HasEdgeFromTo(s.ID(), x.ID()) {
		t.Errorf("the gonum graph has %d edges for Mul(x, x): edges are no longer merged there", n)
	}
}

func gonumNode(b *backend, name string) (gonum.Node, bool) {
	for it := b.Nodes(); it.Next(); {
		if n := it.Node(); n.(*value).name == name {
			return n, true
		}
	}
	return nil, false
}

// SetInput(i) takes i for the identifier of a node: with our identifiers in order it meets the first value, whatever
// the input is called. This package does not use it.
func TestOnnxGoSetInput(t *testing.T) {
	p := &probe{newBackend()}
	p.last = 9 // identifiers that do not begin at zero
	m, err := decodeDirectly(p, modelProto(identity))
	if err != nil {
		t.Fatal(err)
	}
	_, err = func() (_ any, err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		return nil, m.SetInput(0, nil)
	}()
	if err == nil {
		t.Error("SetInput finds inputs by position now")
	}
}

// onnx-go has no recover: what its parts do not expect becomes a panic of the caller's program.
func TestOnnxGoPanics(t *testing.T) {
	data := modelProto(initializer(tensorProto("w", 1, make([]byte, 8), 3)), identity)
	if _, err := decodeDirectly(&probe{newBackend()}, data); err == nil || !strings.HasPrefix(err.Error(), "panic") {
		t.Errorf("a tensor whose data do not fill its shape: %v", err)
	}
	h := &hollow{bytes: []byte{1}, nodes: []*protoNode{{}}}
	if _, err := h.decode(); err == nil {
		t.Error("garbage is decoded")
	}
	loop := hollowOf(&protoGraph{
		nodes:   []*protoNode{{op: "Mul", inputs: []string{"a", "a"}, outputs: []string{"a"}}},
		outputs: []protoValue{{name: "a"}},
	})
	if _, err := loop.decode(); err != nil {
		t.Errorf("a loop must reach the checks behind the decoder: %v", err)
	}
}

// A node attribute that holds a graph is replaced by a number, and only there.
func TestLiftedAttributesComeBack(t *testing.T) {
	m := openTest(t, "testdata/branches.onnx")
	n := m.Graph.Nodes[1]
	if n.Op != "If" || n.Attrs["then_branch"].Kind != graph.AttrGraph || n.Attrs["then_branch"].G.Nodes[0].Op != "If" {
		t.Errorf("%+v", n)
	}
	if g := n.Attrs["else_branch"].G; len(g.Nodes) != 0 || g.Value(g.Outputs[0]).Const == nil {
		t.Errorf("a branch of constants only: %+v", g)
	}
	var file *FileError
	if _, err := Parse("f", modelProto(node(nodeProto("If", []string{"x"}, []string{"y"},
		attrProto("then_branch", 5, 6, appendMessage(nil, 12, appendText(nil, 1, "nobody")))))), nil); !errors.As(err, &file) ||
		!strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("a subgraph whose output nobody makes: %v", err)
	}
}
