package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Folder holds networks and their settings: on disk, where networks are memory-mapped, or embedded. Names inside it use
// forward slashes.
type Folder struct {
	fsys fs.FS
	dir  string // path on disk, "" when embedded
	name string // for messages
}

// DirFolder is the folder at dir, which must exist.
func DirFolder(dir string) Folder { return Folder{fsys: os.DirFS(dir), dir: dir, name: dir} }

// FSFolder is a folder inside fsys, under a name for messages.
func FSFolder(fsys fs.FS, name string) Folder { return Folder{fsys: fsys, name: name} }

// FS is the folder as a file system.
func (f Folder) FS() fs.FS { return f.fsys }

// Path is how messages call a file of the folder; "" is the folder itself.
func (f Folder) Path(name string) string {
	if f.dir != "" {
		return filepath.Join(f.dir, filepath.FromSlash(name))
	}
	return path.Join(f.name, name)
}

// Has reports whether the folder holds a file or folder called name.
func (f Folder) Has(name string) bool {
	_, err := fs.Stat(f.fsys, name)
	return err == nil
}

// First is the first of the names that exists.
func (f Folder) First(names ...string) (string, bool) {
	i := slices.IndexFunc(names, f.Has)
	if i < 0 {
		return "", false
	}
	return names[i], true
}

// ReadFile reads a small file. The error names the full path.
func (f Folder) ReadFile(name string) ([]byte, error) {
	data, err := fs.ReadFile(f.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", f.Path(name), fs.ErrNotExist)
	}
	return data, err
}

// ReadJSON decodes a file into v; found is false, without an error, when it does not exist.
func (f Folder) ReadJSON(name string, v any) (found bool, err error) {
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

// Open opens a network of the folder.
func (f Folder) Open(name string, opt *Options) (*Model, error) {
	if f.dir != "" {
		return Open(f.Path(name), opt)
	}
	return OpenFS(f.fsys, name, opt)
}
