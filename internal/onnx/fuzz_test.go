package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"winnow/internal/graph"
)

// checkModel verifies what every decoded model promises to the packages above.
func checkModel(t *testing.T, g *graph.Graph, top bool) {
	t.Helper()
	defined := make([]bool, len(g.Values))
	for _, id := range g.Inputs {
		defined[id] = true
	}
	names := map[string]bool{}
	for i := range g.Values {
		v := &g.Values[i]
		if v.Name == "" || names[v.Name] {
			t.Fatalf("value %d: name %q", i, v.Name)
		}
		names[v.Name] = true
		if c := v.Const; c != nil {
			defined[i] = true
			if n := c.DType.Size(); n > 0 && n*c.Elems() != len(c.Data) {
				t.Fatalf("constant %q: %v with %d bytes", v.Name, c, len(c.Data))
			}
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		for _, id := range n.Inputs {
			if id != graph.None && top && !defined[id] {
				t.Fatalf("%s reads value %d before it is made", n.Label(), id)
			}
		}
		for _, a := range n.Attrs {
			if a.Kind == graph.AttrGraph {
				checkModel(t, a.G, false)
			}
		}
		for _, id := range n.Outputs {
			if id != graph.None && defined[id] {
				t.Fatalf("%s makes value %d, which exists", n.Label(), id)
			}
			if id != graph.None {
				defined[id] = true
			}
		}
	}
	for _, id := range g.Outputs {
		if top && !defined[id] {
			t.Fatalf("output %d is not made", id)
		}
	}
}

// FuzzParse runs the whole reader: no panic, errors of the documented type, and models that keep their promises.
func FuzzParse(f *testing.F) {
	for _, path := range testModels(f) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4<<10 { // the engine minimises for minutes on larger ones
			f.Add(data)
		}
	}
	f.Add(nested(3))
	f.Add(externalModel(3, "location", "w", "offset", "4"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		m, err := Parse("fuzz", data, func(string) ([]byte, error) { return floats(64), nil })
		if err != nil {
			var file *FileError
			if !errors.As(err, &file) || strings.Contains(err.Error(), "the reader failed") {
				t.Fatal(err)
			}
			return
		}
		checkModel(t, m.Graph, true)
		m.Summary()
		_ = m.CheckFinite()
		checkWritten(t, m.Graph)
	})
}

// checkWritten writes a decoded graph and reads it again.
func checkWritten(t *testing.T, g *graph.Graph) {
	t.Helper()
	e, err := Write(g, nil)
	if err != nil {
		var file *FileError
		if !errors.As(err, &file) {
			t.Fatal(err)
		}
		return
	}
	m, err := Parse("written", e.Bytes, nil)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v", err)
	}
	checkModel(t, m.Graph, true)
	if len(m.Graph.Nodes) != len(g.Nodes) || len(m.Graph.Inputs) != len(g.Inputs) || len(m.Graph.Outputs) != len(g.Outputs) {
		t.Fatalf("%d nodes, %d inputs, %d outputs became %d, %d, %d", len(g.Nodes), len(g.Inputs), len(g.Outputs),
			len(m.Graph.Nodes), len(m.Graph.Inputs), len(m.Graph.Outputs))
	}
}

func TestModelsKeepTheirPromises(t *testing.T) {
	for name, path := range testModels(t) {
		t.Run(name, func(t *testing.T) { checkModel(t, openTest(t, path).Graph, true) })
	}
}

// Small hostile files must not make the reader allocate much: messages of two bytes that stand for whole structures,
// shapes that promise terabytes. (Counted is everything allocated, garbage included.)
func TestMemoryIsBounded(t *testing.T) {
	const n = 1 << 15
	graphOf := func(fields []byte) []byte {
		return append(appendMessage(nil, 7, append(fields, appendMessage(nil, 12, appendText(nil, 1, "x"))...)), opset(17)...)
	}
	numbered := func() []byte {
		var b []byte
		for i := range n {
			b = appendMessage(b, 1, nodeProto("N", nil, []string{fmt.Sprint(i)}))
		}
		return b
	}
	for name, data := range map[string][]byte{
		"nodes":        graphOf(bytes.Repeat([]byte{0x0a, 0}, n)),
		"initializers": graphOf(bytes.Repeat([]byte{0x2a, 0}, n)),
		"inputs":       graphOf(bytes.Repeat([]byte{0x5a, 0}, n)),
		"outputs":      graphOf(bytes.Repeat([]byte{0x62, 0}, n)),
		"value infos":  graphOf(bytes.Repeat([]byte{0x6a, 0}, n)),
		"functions":    bytes.Repeat([]byte{0xca, 1, 0}, n),
		"metadata":     bytes.Repeat([]byte{0x72, 0}, n),
		"node inputs":  graphOf(appendMessage(nil, 1, bytes.Repeat([]byte{0x0a, 0}, n))),
		"node outputs": graphOf(appendMessage(nil, 1, append(appendText(nil, 4, "N"), bytes.Repeat([]byte{0x12, 0}, n)...))),
		"real nodes":   graphOf(numbered()),
		"dimensions":   modelProto(initializer(append(bytes.Repeat([]byte{0x08, 1}, n), tensorProto("w", 1, nil)...)), identity),
		"int32 typed":  modelProto(initializer(typedProto("w", 7, []int64{n}, 7, make([]byte, n))), identity),
		"huge tensor":  modelProto(initializer(tensorProto("w", 1, make([]byte, n), 1<<50)), identity),
		"huge strings": modelProto(initializer(typedProto("w", 8, []int64{1 << 50}, 6, []byte("a"))), identity),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse("x", data, nil)
		runtime.ReadMemStats(&after)
		if limit := uint64(400*len(data) + 1<<20); after.TotalAlloc-before.TotalAlloc > limit {
			t.Errorf("%s: %d bytes of file, %d bytes allocated (limit %d, error %v)", name, len(data), after.TotalAlloc-before.TotalAlloc, limit, err)
		}
	}
}
