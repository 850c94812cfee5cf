package onnx

import (
	"fmt"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// The types below hold what the scan finds: onnx.proto's messages without tensors' bytes.

type protoModel struct {
	irVersion       int64
	producer        string
	producerVersion string
	domain          string
	version         int64
	opsets          map[string]int
	metadata        map[string]string
	graph           *protoGraph
	functions       map[functionKey]*protoFunction
}

type protoGraph struct {
	name     string
	nodes    []*protoNode
	tensors  []*protoTensor // initializers
	inputs   []protoValue
	outputs  []protoValue
	infos    []protoValue
	position int
}

type protoNode struct {
	name, op, domain, overload string
	inputs, outputs            []string
	attrs                      []protoAttr
	scope                      string
	index                      int // in the file's node list
	opset                      int // set when opsets are resolved
	at                         int
}

// label names the node as graph.Node.Label does.
func (n *protoNode) label() string {
	g := graph.Node{Name: n.name, Op: n.op, Domain: n.domain, Index: n.index}
	return g.Label()
}

type protoAttr struct {
	name    string
	kind    graph.AttrKind
	ref     string // in a function body: the name of the function's attribute that stands here
	i       int64
	f       float32
	s       string
	ints    []int64
	floats  []float32
	strings []string
	tensor  *protoTensor
	graph   *protoGraph
	typ     *protoValue // without a name
	at      int
}

type protoValue struct {
	name     string
	elem     int32 // TensorProto.DataType, 0 if not declared
	dims     []graph.Dim
	hasShape bool
	// container of the tensors described above; tensor says that this is all: dense tensors, or nothing declared.
	container graph.Container
	tensor    bool
	at        int
}

// readable reports whether graph.Value can say what is declared.
func (v *protoValue) readable() bool {
	known := tensor.FromONNX(v.elem) != tensor.Invalid
	return v.tensor && (known || v.elem == 0 && v.container == graph.NoContainer)
}

// value converts the declaration.
func (v *protoValue) value() graph.Value {
	return graph.Value{Name: v.name, DType: tensor.FromONNX(v.elem), Dims: v.dims, Container: v.container}
}

// functionKey identifies a model-local function.
type functionKey struct{ domain, name, overload string }

type protoFunction struct {
	key      functionKey
	inputs   []string
	outputs  []string
	attrs    []string    // without default
	defaults []protoAttr // with default
	nodes    []*protoNode
	opsets   map[string]int
	at       int
}

func (f *protoFunction) label() string {
	return fmt.Sprintf("function %s", quote(f.key.domain+"."+f.key.name))
}

// canonical maps the two spellings of the standard domain to "".
func canonical(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}
