package onnx

import (
	"fmt"
	"path/filepath"
	"strings"

	"winnow/internal/graph"
	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

const (
	// minExternal is the size in bytes from which a weight is left in the file that it came from.
	minExternal = 1 << 10
	// maxInline bounds the bytes of weights inside a written model. Protobuf ends at 2 GiB; the structure needs room too.
	maxInline = 1 << 30
)

// sideLocation is the external file that weights of Encoded.Side are declared to lie in. There is no such file.
const sideLocation = "winnow.side"

// place says where the bytes of a weight are. The zero value means inside the model.
type place struct {
	file   string // real path of a file that holds them
	offset int64
	side   bool // handed over beside the model
}

// placer decides where the weights of one model go.
type placer struct {
	limit  int // inline bytes
	inline int // so far
	places map[*tensor.Tensor]place
	real   map[*mmap.File]string // real path, "" if the file cannot be named or is no longer what was mapped
	folder string                // that all files lie below, "" before the first
	side   []Side
}

// weights places the initializers of g and of its subgraphs. main is set for the outermost graph: only its weights can be
// handed over beside the model.
func (p *placer) weights(g *graph.Graph, names []string, main bool) error {
	for i := range g.Values {
		t := g.Values[i].Const
		if t == nil {
			continue
		}
		if err := p.weight(names[i], t, main); err != nil {
			return fmt.Errorf("tensor %s: %w", quote(names[i]), err)
		}
	}
	for i := range g.Nodes {
		for name, a := range g.Nodes[i].Attrs {
			if a.Kind != graph.AttrGraph || a.G == nil {
				continue
			}
			if err := p.weights(a.G, valueNames(a.G), false); err != nil {
				return fmt.Errorf("attribute %s of %s: %w", quote(name), g.Nodes[i].Label(), err)
			}
		}
	}
	return nil
}

// weight places one tensor.
func (p *placer) weight(name string, t *tensor.Tensor, main bool) error {
	if file, offset, ok := p.inFile(t); ok {
		p.places[t] = place{file: file, offset: offset}
		return nil
	}
	n := len(t.Data)
	if t.DType.IsSmall() {
		n = t.DType.PackedBytes(n)
	}
	if p.inline+n <= p.limit {
		p.inline += n
		return nil
	}
	if !main || t.DType == tensor.String {
		return fmt.Errorf("%v does not fit into the %d bytes that a model may hold", t, p.limit)
	}
	p.places[t] = place{side: true}
	p.side = append(p.side, Side{name, *t})
	return nil
}

// inFile finds the file that a tensor's bytes are mapped from. Tensors that are small, or do not begin at a multiple of
// their element size (which readers of external data rely on), are not left there.
func (p *placer) inFile(t *tensor.Tensor) (file string, offset int64, ok bool) {
	if len(t.Data) < minExternal || t.DType == tensor.String {
		return "", 0, false
	}
	mapped, offset, ok := mmap.Locate(t.Data)
	if !ok || offset%int64(t.DType.Size()) != 0 {
		return "", 0, false
	}
	file, known := p.real[mapped]
	if !known {
		file = p.admit(mapped)
		p.real[mapped] = file
	}
	return file, offset, file != ""
}

// admit returns the real path of a mapped file and widens the common folder to hold it; "" if the file was replaced since
// or lies on another drive than those before.
func (p *placer) admit(f *mmap.File) string {
	file := realPath(f.Path())
	if file == "" || !f.Current() {
		return ""
	}
	folder := commonFolder(p.folder, filepath.Dir(file))
	if folder == "" {
		return ""
	}
	p.folder = folder
	return file
}

// realPath is the absolute path without links, "" if there is none.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return ""
	}
	return real
}

// commonFolder is the deepest folder that contains both, "" if there is none; a "" argument stands for the other one.
func commonFolder(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	for !below(a, b) {
		up := filepath.Dir(a)
		if up == a {
			return ""
		}
		a = up
	}
	return a
}

// location names a file relative to the common folder, as ONNX writes it.
func (p *placer) location(file string) string {
	rel, err := filepath.Rel(p.folder, file)
	if err != nil { // inFile has made sure that the folder contains the file
		return file
	}
	return strings.ReplaceAll(rel, string(filepath.Separator), "/")
}
