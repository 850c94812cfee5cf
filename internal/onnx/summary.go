package onnx

import (
	"fmt"
	"sort"

	"winnow/internal/graph"
)

// Summary is what there is to know about a model without running it. Its JSON form is what `model inspect` prints.
type Summary struct {
	File            string            `json:"file"`
	IRVersion       int64             `json:"ir_version"`
	Producer        string            `json:"producer"`
	ProducerVersion string            `json:"producer_version"`
	Opsets          map[string]int    `json:"opsets"` // domain → version; "ai.onnx" is the standard domain
	Metadata        map[string]string `json:"metadata,omitempty"`
	Inputs          []Port            `json:"inputs"`
	Outputs         []Port            `json:"outputs"`
	Nodes           int               `json:"nodes"`      // after functions are inlined, subgraphs included, constants left out
	Operators       map[string]int    `json:"operators"`  // "Conv" or "com.microsoft.QuickGelu" → count
	Parameters      map[string]int64  `json:"parameters"` // element type → number of elements in tensors of the file
	InlineBytes     int64             `json:"inline_bytes"`
	ExternalBytes   int64             `json:"external_bytes"`
	FileBytes       int64             `json:"file_bytes"`     // size of the ONNX file itself
	ExternalFiles   map[string]int64  `json:"external_files"` // location → bytes of it that tensors use
}

// Port is an input or output of a model.
type Port struct {
	Name  string   `json:"name"`
	DType string   `json:"dtype"` // "invalid" if the file does not say
	Shape []string `json:"shape"` // sizes, symbols, or "?"; null if the rank is not declared
	// Container is "seq(tensor)", "optional(tensor)" or "optional(seq(tensor))" for a value that is no tensor.
	Container string `json:"container,omitempty"`
}

// Summary collects the facts about m. It reads no weights.
func (m *Model) Summary() Summary {
	s := Summary{
		File: m.File, IRVersion: m.IRVersion, Producer: m.Producer, ProducerVersion: m.ProducerVersion,
		Opsets: map[string]int{}, Metadata: m.Metadata, Inputs: ports(m.Graph, m.Graph.Inputs),
		Outputs: ports(m.Graph, m.Graph.Outputs), Operators: map[string]int{}, Parameters: map[string]int64{},
		FileBytes: m.size, ExternalFiles: map[string]int64{},
	}
	for domain, v := range m.Opsets {
		if domain == "" {
			domain = "ai.onnx"
		}
		s.Opsets[domain] = v
	}
	s.count(m.Graph)
	for _, w := range m.weights {
		n := int64(len(w.tensor.Data))
		s.Parameters[w.tensor.DType.String()] += int64(w.tensor.Elems())
		if w.external == "" {
			s.InlineBytes += n
			continue
		}
		s.ExternalBytes += n
		s.ExternalFiles[w.external] += n
	}
	return s
}

// count adds the nodes of g and its subgraphs.
func (s *Summary) count(g *graph.Graph) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		name := n.Op
		if n.Domain != "" {
			name = n.Domain + "." + n.Op
		}
		s.Nodes++
		s.Operators[name]++
		for _, a := range n.Attrs {
			if a.Kind == graph.AttrGraph {
				s.count(a.G)
			}
		}
	}
}

func ports(g *graph.Graph, ids []graph.ValueID) []Port {
	out := make([]Port, 0, len(ids))
	for _, id := range ids {
		v := g.Value(id)
		p := Port{Name: v.Name, DType: v.DType.String()}
		if v.Container != graph.NoContainer {
			p.Container = v.Container.String()
		}
		if v.Dims != nil {
			p.Shape = make([]string, len(v.Dims))
			for i, d := range v.Dims {
				p.Shape[i] = fmt.Sprint(d)
			}
		}
		out = append(out, p)
	}
	return out
}

// TopOperators lists the operators by descending count, then by name.
func (s *Summary) TopOperators() []string {
	names := make([]string, 0, len(s.Operators))
	for name := range s.Operators {
		names = append(names, name)
	}
	sort.Slice(names, func(i, k int) bool {
		a, b := names[i], names[k]
		if s.Operators[a] != s.Operators[b] {
			return s.Operators[a] > s.Operators[b]
		}
		return a < b
	})
	return names
}
