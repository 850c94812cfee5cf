package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"winnow/internal/graph"
	"winnow/internal/tensor"
)

// The JSON files beside the models are written by Python's onnx package: tests/oracle/onnx_files.py.

type tensorFacts struct {
	DType  string
	Shape  []int
	SHA256 string
}

type attrFacts struct {
	Kind  string
	Value json.RawMessage
}

type portFacts struct {
	Name, DType string
	Dims        []any
}

type nodeFacts struct {
	Name, Op, Domain, Scope string
	Inputs, Outputs         []string
	Attrs                   map[string]attrFacts
}

type graphFacts struct {
	Name            string
	Inputs, Outputs []portFacts
	ValueInfo       []portFacts `json:"value_info"`
	Initializers    map[string]tensorFacts
	Nodes           []nodeFacts
}

type modelFacts struct {
	IRVersion int64 `json:"ir_version"`
	Producer  string
	Opsets    map[string]int
	Functions int
	Graph     graphFacts
}

// testModels returns the name and path of every model in testdata.
func testModels(t testing.TB) map[string]string {
	t.Helper()
	models := map[string]string{}
	for _, pattern := range []string{"testdata/*.onnx", "testdata/*/model.onnx"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(p), "testdata/"), ".onnx")
			models[strings.TrimSuffix(name, "/model")] = p
		}
	}
	if len(models) < 13 {
		t.Fatalf("only %d models in testdata", len(models))
	}
	return models
}

func openTest(t testing.TB, path string) *Model {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestStructureEqualsPython(t *testing.T) {
	for name, path := range testModels(t) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want modelFacts
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			m := openTest(t, path)
			if m.IRVersion != want.IRVersion || m.Producer != want.Producer || !reflect.DeepEqual(m.Opsets, want.Opsets) {
				t.Errorf("model: %d %q %v, want %d %q %v", m.IRVersion, m.Producer, m.Opsets, want.IRVersion, want.Producer, want.Opsets)
			}
			if want.Functions > 0 {
				return // inlined: TestFunctionsInline and the executor's results judge those
			}
			c := comparer{t, m.Opsets}
			c.graph(m.Graph, &want.Graph)
		})
	}
}

// comparer checks a decoded graph against Python's view.
type comparer struct {
	t      *testing.T
	opsets map[string]int
}

func (c comparer) graph(g *graph.Graph, want *graphFacts) {
	t := c.t
	if g.Name != want.Name {
		t.Errorf("graph name %q, want %q", g.Name, want.Name)
	}
	c.ports(g, g.Inputs, want.Inputs, want.Initializers)
	c.ports(g, g.Outputs, want.Outputs, nil)
	c.infos(g, want.ValueInfo)
	constants := map[string]*tensor.Tensor{}
	for i := range g.Values {
		if v := &g.Values[i]; v.Const != nil {
			constants[v.Name] = v.Const
		}
	}
	seen := 0
	for name, facts := range want.Initializers {
		c.tensor("initializer "+name, constants[name], facts)
		seen++
	}
	k := 0
	for i, n := range want.Nodes {
		if n.Op == "Constant" {
			c.constant(n, constants[n.Outputs[0]])
			seen++
			continue
		}
		if k == len(g.Nodes) {
			t.Fatalf("only %d nodes", k)
		}
		c.node(g, &g.Nodes[k], n, i)
		k++
	}
	if k != len(g.Nodes) || seen != len(constants) {
		t.Errorf("%d nodes and %d constants, want %d and %d", len(g.Nodes), len(constants), k, seen)
	}
}

func (c comparer) ports(g *graph.Graph, ids []graph.ValueID, want []portFacts, skip map[string]tensorFacts) {
	i := 0
	for _, w := range want {
		if _, ok := skip[w.Name]; ok {
			continue
		}
		if i == len(ids) {
			c.t.Fatalf("port %q is missing", w.Name)
		}
		c.port(g.Value(ids[i]), w)
		i++
	}
	if i != len(ids) {
		c.t.Errorf("%d ports, want %d", len(ids), i)
	}
}

func (c comparer) infos(g *graph.Graph, want []portFacts) {
	for _, w := range want {
		id, ok := g.Lookup(w.Name)
		if !ok {
			c.t.Errorf("value %q is missing", w.Name)
			continue
		}
		c.port(g.Value(id), w)
	}
}

func (c comparer) port(v *graph.Value, w portFacts) {
	if v.Name != w.Name || v.DType != dtypeOf(w.DType) {
		c.t.Errorf("value %q of %v, want %q of %v", v.Name, v.DType, w.Name, w.DType)
	}
	if v.Const != nil {
		return // the tensor's own shape counts
	}
	if (v.Dims == nil) != (w.Dims == nil) || len(v.Dims) != len(w.Dims) {
		c.t.Errorf("value %q: dims %v, want %v", v.Name, v.Dims, w.Dims)
		return
	}
	for i, d := range w.Dims {
		want := graph.Dim{Size: -1}
		switch d := d.(type) {
		case string:
			want.Sym = d
		case float64:
			want.Size = int(d)
		}
		if v.Dims[i] != want {
			c.t.Errorf("value %q: dims %v, want %v", v.Name, v.Dims, w.Dims)
		}
	}
}

// dtypeOf translates the names of TensorProto.DataType.
func dtypeOf(onnxName string) tensor.DType {
	switch onnxName {
	case "float":
		return tensor.F32
	case "double":
		return tensor.F64
	}
	for dt := tensor.F32; dt <= tensor.String; dt++ {
		if dt.String() == onnxName {
			return dt
		}
	}
	return tensor.Invalid
}

func (c comparer) tensor(what string, got *tensor.Tensor, want tensorFacts) {
	if got == nil {
		c.t.Errorf("%s is missing", what)
		return
	}
	data := got.Data
	if got.DType == tensor.String {
		data = []byte(strings.Join(got.Strings(), ""))
	}
	sum := sha256.Sum256(data)
	if got.DType != dtypeOf(want.DType) || fmt.Sprint(got.Shape) != fmt.Sprint(want.Shape) || hex.EncodeToString(sum[:]) != want.SHA256 {
		c.t.Errorf("%s: %v with hash %x, want %v", what, got, sum[:4], want)
	}
}

func (c comparer) constant(n nodeFacts, got *tensor.Tensor) {
	for name, a := range n.Attrs {
		if name == "value" {
			var want tensorFacts
			c.decode(a.Value, &want)
			c.tensor("constant "+n.Outputs[0], got, want)
			continue
		}
		c.scalarConstant(n.Outputs[0], a, got)
	}
}

// scalarConstant checks Constant nodes whose value is a plain attribute.
func (c comparer) scalarConstant(name string, a attrFacts, got *tensor.Tensor) {
	if got == nil {
		c.t.Errorf("constant %s is missing", name)
		return
	}
	attr := c.attr(a)
	var want tensor.Tensor
	switch attr.Kind {
	case graph.AttrFloat:
		want = tensor.FromF32([]float32{attr.F})
	case graph.AttrInt:
		want = tensor.FromI64([]int64{attr.I})
	case graph.AttrFloats:
		want = tensor.FromF32(attr.Floats, len(attr.Floats))
	case graph.AttrInts:
		want = tensor.FromI64(attr.Ints, len(attr.Ints))
	}
	if !want.Equal(*got) {
		c.t.Errorf("constant %s: %v %v, want %v %v", name, got, got.Data, want, want.Data)
	}
}

func (c comparer) decode(raw json.RawMessage, into any) {
	c.t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		c.t.Fatal(err)
	}
}

func (c comparer) node(g *graph.Graph, n *graph.Node, want nodeFacts, index int) {
	t := c.t
	if n.Name != want.Name || n.Op != want.Op || n.Domain != want.Domain || n.Scope != want.Scope || n.Index != index {
		t.Errorf("node %d: %q %q %q %q, want %+v at %d", n.Index, n.Name, n.Op, n.Domain, n.Scope, want, index)
	}
	if n.Opset != c.opsets[n.Domain] || n.Opset == 0 {
		t.Errorf("%s: operator set version %d", n.Label(), n.Opset)
	}
	c.names(g, n, n.Inputs, want.Inputs)
	c.names(g, n, n.Outputs, want.Outputs)
	if len(n.Attrs) != len(want.Attrs) {
		t.Errorf("%s: %d attributes, want %d", n.Label(), len(n.Attrs), len(want.Attrs))
	}
	for name, w := range want.Attrs {
		got := n.Attrs[name]
		if got.Kind.String() != w.Kind {
			t.Errorf("%s: attribute %s is %v, want %v", n.Label(), name, got.Kind, w.Kind)
			continue
		}
		switch got.Kind {
		case graph.AttrTensor:
			var facts tensorFacts
			c.decode(w.Value, &facts)
			c.tensor(n.Label()+" attribute "+name, got.T, facts)
		case graph.AttrGraph:
			var facts graphFacts
			c.decode(w.Value, &facts)
			c.graph(got.G, &facts)
		default:
			if want := c.attr(w); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: attribute %s = %+v, want %+v", n.Label(), name, got, want)
			}
		}
	}
}

func (c comparer) names(g *graph.Graph, n *graph.Node, ids []graph.ValueID, want []string) {
	for len(want) > 0 && want[len(want)-1] == "" {
		want = want[:len(want)-1]
	}
	if len(ids) != len(want) {
		c.t.Errorf("%s: %d values, want %d", n.Label(), len(ids), len(want))
		return
	}
	for i, id := range ids {
		if (id == graph.None) != (want[i] == "") || id != graph.None && g.Value(id).Name != want[i] {
			c.t.Errorf("%s: value %d, want %q", n.Label(), i, want[i])
		}
	}
}

// attr converts the JSON form of a plain attribute.
func (c comparer) attr(a attrFacts) graph.Attr {
	var text string
	var texts []string
	var out graph.Attr
	switch a.Kind {
	case "float":
		out.Kind = graph.AttrFloat
		c.decode(a.Value, &out.F)
	case "floats":
		out.Kind = graph.AttrFloats
		c.decode(a.Value, &out.Floats)
	case "int":
		out.Kind = graph.AttrInt
		c.decode(a.Value, &text)
		out.I = c.int(text)
	case "ints":
		out.Kind = graph.AttrInts
		c.decode(a.Value, &texts)
		for _, s := range texts {
			out.Ints = append(out.Ints, c.int(s))
		}
	case "string":
		out.Kind = graph.AttrString
		c.decode(a.Value, &text)
		out.S = c.hex(text)
	case "strings":
		out.Kind = graph.AttrStrings
		c.decode(a.Value, &texts)
		for _, s := range texts {
			out.Strings = append(out.Strings, c.hex(s))
		}
	}
	return out
}

func (c comparer) int(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func (c comparer) hex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}
