package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"winnow/internal/mmap"
	"winnow/internal/tensor"
)

// external returns the bytes of a tensor stored in another file.
func (l *loader) external(p *protoTensor, where string, dt tensor.DType, shape []int, need int) ([]byte, error) {
	location := p.external["location"]
	if location == "" {
		return nil, l.bad(p, where, "is stored externally, but the file does not say where")
	}
	offset, err := l.entryInt(p, where, "offset", 0)
	if err != nil {
		return nil, err
	}
	length, err := l.entryInt(p, where, "length", int64(need))
	if err != nil {
		return nil, err
	}
	if length != int64(need) {
		return nil, l.bad(p, where, "%v of shape %v needs %d bytes, the external entry declares %d", dt, shape, need, length)
	}
	file, err := l.ext(location)
	if err != nil {
		return nil, &FileError{
			File: l.src.name, Offset: int64(p.at), Where: where, What: "external data " + quote(location), Err: err,
			Cure: externalCure(err),
		}
	}
	if offset > int64(len(file)) || int64(need) > int64(len(file))-offset {
		return nil, &FileError{
			File: l.src.name, Offset: int64(p.at), Where: where,
			What: fmt.Sprintf("external data %s is too short: bytes %d to %d are needed, the file has %d",
				quote(location), offset, offset+int64(need), len(file)),
			Cure: cureTruncated,
		}
	}
	return file[offset : int(offset)+need : int(offset)+need], nil
}

func externalCure(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "put the weights file beside the ONNX file"
	}
	return ""
}

// entryInt reads a number of the external entry.
func (l *loader) entryInt(p *protoTensor, where, key string, def int64) (int64, error) {
	text, ok := p.external[key]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 {
		return 0, l.bad(p, where, "external %s %s is no byte count", key, quote(text))
	}
	return v, nil
}

// folder maps external files beside a model file.
type folder struct {
	dir     string   // as the user named it
	allowed []string // real folders that a file may lie in
	open    map[string]*mmap.File
}

func newFolder(model string) (*folder, error) {
	dir := filepath.Dir(model)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	target, err := filepath.EvalSymlinks(model)
	if err != nil {
		return nil, err
	}
	// Hub caches keep the model file and its weights as links into one folder of blobs: where the model's own link leads,
	// its weights may be too.
	return &folder{dir: dir, allowed: []string{real, filepath.Dir(target)}, open: map[string]*mmap.File{}}, nil
}

// file returns the contents of a location. Only files below the model's folder are opened: a model file from elsewhere
// must not be able to name other files of this machine.
func (f *folder) file(location string) ([]byte, error) {
	if m, ok := f.open[location]; ok {
		return m.Bytes(), nil
	}
	local := filepath.FromSlash(location)
	if !filepath.IsLocal(local) || strings.ContainsRune(location, 0) {
		return nil, errors.New("the location leads out of the model's folder")
	}
	path, err := filepath.EvalSymlinks(filepath.Join(f.dir, local))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(f.allowed, func(dir string) bool { return below(dir, path) }) {
		return nil, errors.New("the location is a link that leads out of the model's folder")
	}
	m, err := mmap.Open(path)
	if err != nil {
		return nil, err
	}
	f.open[location] = m
	return m.Bytes(), nil
}

// below reports whether the real path lies in the real folder dir.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(os.PathSeparator))
}

func (f *folder) close() error {
	var errs []error
	for _, m := range f.open {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
