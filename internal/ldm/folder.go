package ldm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"winnow/internal/model"
)

// Folder is a model folder in diffusers layout: on disk, where networks are memory-mapped, or embedded.
type Folder struct {
	dir  string // path on disk, "" when embedded
	fsys fs.FS
	name string // for messages
}

// DirFolder is the folder at dir. It errs when dir is missing or is not a folder.
func DirFolder(dir string) (Folder, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Folder{}, fmt.Errorf("model folder %s does not exist: give a folder in diffusers ONNX layout, or \"mini\"", dir)
	case err != nil:
		return Folder{}, err
	case !info.IsDir():
		return Folder{}, fmt.Errorf("model %s is a file: give the folder that holds model_index.json", dir)
	}
	return Folder{dir: dir, fsys: os.DirFS(dir), name: dir}, nil
}

// FSFolder is a folder inside fsys, under a name for messages.
func FSFolder(fsys fs.FS, name string) Folder { return Folder{fsys: fsys, name: name} }

// Name is the path, or the given name, of the folder.
func (f Folder) Name() string { return f.name }

// Path is how messages call a file of the folder.
func (f Folder) Path(name string) string {
	if f.dir != "" {
		return filepath.Join(f.dir, filepath.FromSlash(name))
	}
	return path.Join(f.name, name)
}

// Exists reports whether the folder holds a file or folder called name.
func (f Folder) Exists(name string) bool {
	_, err := fs.Stat(f.fsys, name)
	return err == nil
}

// ReadFile reads a small file. The error names the full path.
func (f Folder) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(f.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", f.Path(name), fs.ErrNotExist)
	}
	return data, err
}

// readJSON decodes name into v; found is false when the file does not exist.
func (f Folder) readJSON(name string, v any) (found bool, err error) {
	data, err := f.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return true, fmt.Errorf("%s: %w", f.Path(name), err)
	}
	return true, nil
}

// network opens component/model.onnx.
func (f Folder) network(component string, opt *model.Options) (*model.Model, error) {
	name := path.Join(component, "model.onnx")
	if !f.Exists(name) {
		return nil, fmt.Errorf("%s is missing: export the pipeline to ONNX in diffusers layout", f.Path(name))
	}
	if f.dir != "" {
		return model.Open(f.Path(name), opt)
	}
	return model.OpenFS(f.fsys, name, opt)
}
