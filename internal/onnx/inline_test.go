package onnx

import (
	"fmt"
	"strings"
	"testing"

	"winnow/internal/graph"
)

// functionProto writes a FunctionProto of domain "f" that imports the standard domain and its own.
func functionProto(name string, inputs, outputs []string, nodes ...[]byte) []byte {
	b := appendText(nil, 1, name)
	for _, s := range inputs {
		b = appendText(b, 4, s)
	}
	for _, s := range outputs {
		b = appendText(b, 5, s)
	}
	for _, n := range nodes {
		b = appendMessage(b, 7, n)
	}
	b = appendMessage(b, 9, appendInt(nil, 2, 17))
	b = appendMessage(b, 9, appendInt(appendText(nil, 1, "f"), 2, 1))
	return appendMessage(nil, 25, appendText(b, 10, "f"))
}

// callProto writes a node that calls a function of domain "f".
func callProto(name, op string, inputs, outputs []string, attrs ...[]byte) []byte {
	return appendText(appendText(nodeProto(op, inputs, outputs, attrs...), 7, "f"), 3, name)
}

func withFunctions(model []byte, functions ...[]byte) []byte {
	model = append([]byte(nil), model...)
	model = appendMessage(model, 8, appendInt(appendText(nil, 1, "f"), 2, 1))
	for _, f := range functions {
		model = append(model, f...)
	}
	return model
}

// listing prints a graph's nodes, one a line: op(inputs)->outputs.
func listing(g *graph.Graph) string {
	var b strings.Builder
	name := func(id graph.ValueID) string {
		if id == graph.None {
			return "-"
		}
		return g.Value(id).Name
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		var in, out []string
		for _, id := range n.Inputs {
			in = append(in, name(id))
		}
		for _, id := range n.Outputs {
			out = append(out, name(id))
		}
		fmt.Fprintf(&b, "%s(%s)->%s\n", n.Op, strings.Join(in, ","), strings.Join(out, ","))
	}
	return b.String()
}

func parseListing(t *testing.T, data []byte) string {
	t.Helper()
	m, err := Parse("x", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return listing(m.Graph)
}

func TestFunctionsInline(t *testing.T) {
	pair := functionProto("Pair", []string{"a", "b"}, []string{"s", "a", "p"},
		nodeProto("Add", []string{"a", "b"}, []string{"s"}), nodeProto("Clip", []string{"s", "", "b"}, []string{"p"}))
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{
			"all outputs, one an input", "Add(x,x)->s\nClip(s,-,x)->y\nIdentity(x)->same\n",
			modelProto(node(callProto("call", "Pair", []string{"x", "x"}, []string{"s", "same", "y"}))),
		},
		{
			"outputs left out", "Add(x,x)->y\nClip(y,-,x)->call#1/p\n",
			modelProto(node(callProto("call", "Pair", []string{"x", "x"}, []string{"y"}))),
		},
		{
			"inputs left out", "Add(x,-)->call#1/s\nClip(call#1/s)->y\nIdentity(x)->k\n",
			modelProto(node(callProto("call", "Pair", []string{"x"}, []string{"", "k", "y"}))),
		},
		{
			"a name that is taken", "Neg(x)->call#1/s\nAdd(x,x)->call#1/s'\nClip(call#1/s',-,x)->y\n",
			modelProto(node(nodeProto("Neg", []string{"x"}, []string{"call#1/s"})),
				node(callProto("call", "Pair", []string{"x", "x"}, []string{"", "", "y"}))),
		},
	} {
		if got := strings.ReplaceAll(parseListing(t, withFunctions(c.data, pair)), ",)", ")"); got != strings.ReplaceAll(c.want, ",-)", ")") {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

// The same function output twice, and one that reads another's: copies are made where a name stands for two values.
func TestFunctionOutputTwice(t *testing.T) {
	f := functionProto("F", []string{"a"}, []string{"r", "r"}, nodeProto("Neg", []string{"a"}, []string{"r"}))
	got := parseListing(t, withFunctions(modelProto(node(callProto("c", "F", []string{"x"}, []string{"y", "z"}))), f))
	if want := "Neg(x)->y\nIdentity(y)->z\n"; got != want {
		t.Errorf("%swant\n%s", got, want)
	}
}

// ONNX Runtime's optimiser may leave the import of its own domain out; ONNX Runtime takes such files as version 1.
func TestMicrosoftDomainNeedsNoImport(t *testing.T) {
	data := modelProto(node(appendText(nodeProto("Gelu", []string{"x"}, []string{"y"}), 7, graph.MicrosoftDomain)))
	m, err := Parse("x", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := m.Graph.Nodes[0]; n.Domain != graph.MicrosoftDomain || n.Opset != 1 {
		t.Errorf("node %+v", n)
	}
}

func TestFunctionAttributes(t *testing.T) {
	ref := func(name, to string) []byte { return appendInt(appendText(appendText(nil, 1, name), 21, to), 20, 1) }
	value := func(name string, v int64) []byte { return appendInt(appendInt(appendText(nil, 1, name), 3, v), 20, 2) }
	f := functionProto("F", []string{"a"}, []string{"r"},
		nodeProto("Elu", []string{"a"}, []string{"r"}, ref("given", "g"), ref("defaulted", "d"), ref("absent", "n"), value("fixed", 5)))
	inner := appendMessage(appendMessage(nil, 11, value("d", 7)), 6, []byte("g"))
	f = appendMessage(nil, 25, append(f[len(f)-lastMessage(f):], inner...))
	m, err := Parse("x", withFunctions(modelProto(node(callProto("c", "F", []string{"x"}, []string{"y"}, value("g", 3)))), f), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := m.Graph.Nodes[0].Attrs
	if len(a) != 3 || a["given"].I != 3 || a["defaulted"].I != 7 || a["fixed"].I != 5 {
		t.Errorf("%+v", a)
	}
}

// lastMessage returns the length of the content of a single length-delimited field with a two-byte tag.
func lastMessage(b []byte) int {
	for w := 1; w < 4; w++ {
		if n := len(b) - 2 - w; n >= 0 && len(appendMessage(nil, 25, make([]byte, n))) == len(b) {
			return n
		}
	}
	return 0
}

func TestBadFunctions(t *testing.T) {
	neg := functionProto("F", []string{"a"}, []string{"r"}, nodeProto("Neg", []string{"a"}, []string{"r"}))
	call := func(op string) []byte {
		return modelProto(node(callProto("c", op, []string{"x"}, []string{"y"})))
	}
	chain := func(n, times int) []byte { // F0 calls F1 `times` times, which calls F2 …: times^n nodes in the end
		data := call("F0")
		var functions [][]byte
		for i := range n {
			var nodes [][]byte
			last := "a"
			for k := range times {
				out := fmt.Sprint("v", k)
				nodes = append(nodes, callProto("c", fmt.Sprint("F", i+1), []string{last}, []string{out}))
				last = out
			}
			functions = append(functions, functionProto(fmt.Sprint("F", i), []string{"a"}, []string{last}, nodes...))
		}
		leaf := functionProto(fmt.Sprint("F", n), []string{"a"}, []string{"r"}, nodeProto("Neg", []string{"a"}, []string{"r"}))
		return withFunctions(data, append(functions, leaf)...)
	}
	self := functionProto("F", []string{"a"}, []string{"r"}, callProto("again", "F", []string{"a"}, []string{"r"}))
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"itself", "calls itself", withFunctions(call("F"), self)},
		{"bomb", "expand to more", chain(12, 10)},
		{"deep", "nest deeper", chain(maxDepth, 1)},
		{"twice", "defined twice", withFunctions(call("F"), neg, neg)},
		{"too many inputs", "do not fit", withFunctions(modelProto(node(callProto("c", "F", []string{"x", "x"}, []string{"y"}))), neg)},
		{"too many outputs", "do not fit", withFunctions(modelProto(node(callProto("c", "F", []string{"x"}, []string{"y", "z"}))), neg)},
		{"output that nobody makes", `output "y"`, withFunctions(call("F"), functionProto("F", []string{"a"}, []string{"r"}))},
		{"domain of the body", `domain "g"`, withFunctions(call("F"), functionProto("F", []string{"a"}, []string{"r"},
			appendText(nodeProto("Neg", []string{"a"}, []string{"r"}), 7, "g")))},
	} {
		if _, err := Parse("x", c.data, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
	}
	if got := strings.Count(parseListing(t, chain(3, 3)), "Neg"); got != 27 {
		t.Errorf("%d nodes, want 27", got)
	}
}
