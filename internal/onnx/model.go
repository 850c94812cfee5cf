package onnx

import (
	"errors"
	"fmt"
	"io/fs"

	"winnow/internal/graph"
	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

// Model is a decoded ONNX file. Its weights alias the file (the memory map of Open, or the bytes given to Parse), so they
// are valid until Close only.
type Model struct {
	Graph           *graph.Graph
	File            string // as given to Open or Parse
	IRVersion       int64
	Producer        string // exporter, for example "pytorch"
	ProducerVersion string
	Domain          string
	Version         int64
	Opsets          map[string]int // domain ("" is the standard one) → version
	Metadata        map[string]string

	size    int64 // of the ONNX file
	weights []weight
	main    *mmap.File
	folder  *folder
}

// Open maps the ONNX file at path and decodes it. External data is looked up in the file's folder and may not lie
// outside it; Open reads no weights. Errors are of type *FileError.
func Open(path string) (*Model, error) {
	main, err := mmap.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	dir, err := newFolder(path)
	if err != nil {
		return nil, errors.Join(openError(path, err), main.Close())
	}
	m, err := Parse(path, main.Bytes(), dir.file)
	if err != nil {
		_ = dir.close() // the first error is the one to report
		_ = main.Close()
		return nil, err
	}
	m.main, m.folder = main, dir
	return m, nil
}

// openError says in one line what is wrong with the path itself.
func openError(path string, err error) error {
	var detail *fs.PathError
	if errors.As(err, &detail) {
		err = detail.Err
	}
	cure := ""
	if errors.Is(err, fs.ErrNotExist) {
		cure = "check the path"
	}
	return &FileError{File: path, Offset: -1, What: "cannot open the model", Err: err, Cure: cure}
}

// Parse decodes an ONNX file from memory. name stands for the file in messages; ext returns the contents of an external
// data file by its location and decides itself what it lets through (nil: no external data). Neither data nor what ext
// returns may change while the model is in use.
func Parse(name string, data []byte, ext func(location string) ([]byte, error)) (m *Model, err error) {
	defer func() {
		if r := recover(); r != nil { // a fault of ours, but no reason to end the caller's program
			m, err = nil, &FileError{File: name, Offset: -1, What: fmt.Sprintf("the reader failed: %v", r)}
		}
	}()
	if len(data) == 0 {
		return nil, &FileError{File: name, Offset: -1, What: "the file is empty", Cure: cureTruncated}
	}
	if ext == nil {
		ext = func(string) ([]byte, error) { return nil, errors.New("no folder to look in") }
	}
	src := &source{name, data}
	p, err := (&scanner{source: src}).model()
	if err != nil {
		return nil, err
	}
	if err := inlineFunctions(src, p); err != nil {
		return nil, err
	}
	l := &loader{src: src, ext: ext, done: map[*protoTensor]*tensor.Tensor{}}
	b := &builder{l, p.opsets}
	g, err := b.build(p.graph, nil)
	if err != nil {
		return nil, err
	}
	g.Metadata = p.metadata
	return &Model{
		Graph: g, File: name, IRVersion: p.irVersion, Producer: p.producer, ProducerVersion: p.producerVersion,
		Domain: p.domain, Version: p.version, Opsets: p.opsets, Metadata: p.metadata,
		size: int64(len(data)), weights: l.weights,
	}, nil
}

// Release hands the memory behind the weights back to the system, to be called when they have been packed for
// execution: they stay readable, from the file. Consumers that pack weight by weight can call mmap.Release for each and
// so never hold both copies. It does nothing for models from Parse.
func (m *Model) Release() {
	if m.main == nil {
		return
	}
	mmap.Release(m.main.Bytes())
	for _, f := range m.folder.open {
		mmap.Release(f.Bytes())
	}
}

// Prefetch asks the system to begin reading the weights from disk.
func (m *Model) Prefetch() {
	for _, w := range m.weights {
		mmap.Prefetch(w.tensor.Data)
	}
}

// Close unmaps the files. The graph's weights must not be used afterwards. Closing twice is harmless.
func (m *Model) Close() error {
	if m.main == nil {
		return nil
	}
	return errors.Join(m.main.Close(), m.folder.close())
}
