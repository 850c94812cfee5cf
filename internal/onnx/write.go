package onnx

import (
	"fmt"
	"maps"
	"slices"

	"winnow/internal/graph"
	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

// producer is the name that written models carry.
const producer = "winnow"

// WriteOptions steer Write. The zero value and nil are ready to use.
type WriteOptions struct {
	// Inputs declares the inputs with static types in place of the graph's own declarations. The types of intermediate
	// values are then left to the reader of the model, which can infer them exactly.
	Inputs map[string]graph.Type
	// MaxInline is the largest number of bytes of weights inside the model; 0 means 1 GiB.
	MaxInline int
}

// Encoded is a written model. Weights of 1 KiB and more that are mapped from files are not copied: the model refers to
// those files.
type Encoded struct {
	Bytes  []byte   // the ModelProto
	Folder string   // absolute path that the locations of external data are relative to; "" when there are none
	Names  []string // names of the graph's values in the model, by graph.ValueID
	Side   []Side   // weights for which there is no room inside the model, declared as external data of a file that is not there
}

// Side is a weight handed over beside a model.
type Side struct {
	Name   string
	Tensor tensor.Tensor
}

// Write encodes a graph as an ONNX model. Parse reads an equal graph back, except that values without a name, and values
// and nodes with one that another has, get a new one: the old one with a number behind a slash.
func Write(g *graph.Graph, opt *WriteOptions) (*Encoded, error) {
	var o WriteOptions
	if opt != nil {
		o = *opt
	}
	if o.MaxInline <= 0 {
		o.MaxInline = maxInline
	}
	opsets, err := opsetsOf(g)
	if err != nil {
		return nil, writeError(g, err)
	}
	names := valueNames(g)
	w := &writer{opt: o, placer: placer{limit: o.MaxInline, places: map[*tensor.Tensor]place{}, real: map[*mmap.File]string{}}}
	if err := w.weights(g, names, true); err != nil {
		return nil, writeError(g, err)
	}
	body, err := w.graph(g, names, true)
	if err != nil {
		return nil, writeError(g, err)
	}
	b := appendInt(nil, 1, irVersion(opsets))
	b = appendText(b, 2, producer)
	b = appendMessage(b, 7, body)
	for _, domain := range slices.Sorted(maps.Keys(opsets)) {
		b = appendMessage(b, 8, appendInt(appendText(nil, 1, domain), 2, int64(opsets[domain])))
	}
	for _, key := range slices.Sorted(maps.Keys(g.Metadata)) {
		b = appendMessage(b, 14, entry(key, g.Metadata[key]))
	}
	return &Encoded{Bytes: b, Folder: w.folder, Names: names, Side: w.side}, nil
}

func writeError(g *graph.Graph, err error) error {
	return &FileError{File: g.Source, Offset: -1, What: "the graph cannot be written as an ONNX model", Err: err}
}

// opsetsOf collects the version of every domain that the graph imports or uses. A file has one version for each.
func opsetsOf(g *graph.Graph) (map[string]int, error) {
	out := map[string]int{}
	for domain, version := range g.Opsets {
		out[canonical(domain)] = version
	}
	return out, usedOpsets(g, out)
}

func usedOpsets(g *graph.Graph, out map[string]int) error {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		domain := canonical(n.Domain)
		switch have, ok := out[domain]; {
		case n.Opset == 0:
		case !ok:
			out[domain] = n.Opset
		case have != n.Opset:
			return fmt.Errorf("%s is of version %d of its operator set, the model imports version %d", n.Label(), n.Opset, have)
		}
		for _, a := range n.Attrs {
			if a.Kind == graph.AttrGraph && a.G != nil {
				if err := usedOpsets(a.G, out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// irVersion is the lowest version of the file format that allows the version of the standard operators, and at least 8,
// so that old readers read what they can.
func irVersion(opsets map[string]int) int64 {
	switch v := opsets[""]; {
	case v <= 18:
		return 8
	case v <= 20:
		return 9
	case v <= 22:
		return 10
	}
	return 11
}

// valueNames gives every value of a graph a name of its own.
func valueNames(g *graph.Graph) []string {
	names := make([]string, len(g.Values))
	for i := range g.Values {
		names[i] = g.Values[i].Name
	}
	distinct(names, true)
	return names
}

// nodeNames does the same for nodes, which need not have a name.
func nodeNames(g *graph.Graph) []string {
	names := make([]string, len(g.Nodes))
	for i := range g.Nodes {
		names[i] = g.Nodes[i].Name
	}
	distinct(names, false)
	return names
}

// distinct makes names unique; the first of several keeps its own. Empty ones become names when all must have one.
func distinct(names []string, all bool) {
	taken, given := make(map[string]bool, len(names)), make(map[string]bool, len(names))
	for _, name := range names {
		taken[name] = true
	}
	for i, own := range names {
		if own == "" && !all {
			continue
		}
		name := own
		for k := i; name == "" || given[name] || name != own && taken[name]; k += len(names) {
			name = fmt.Sprintf("%s/%d", own, k)
		}
		names[i], given[name] = name, true
	}
}
