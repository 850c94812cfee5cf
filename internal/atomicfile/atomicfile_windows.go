package atomicfile

import (
	"os"
	"path/filepath"
)

// tempFile does what renameio, which leaves Windows out, does elsewhere. os.Rename replaces an existing file there too.
type tempFile struct {
	*os.File
	path string
	done bool
}

func create(path string) (pending, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	return &tempFile{File: f, path: path}, err
}

func (f *tempFile) commit() error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.done = true
	return nil
}

func (f *tempFile) abort() {
	if !f.done {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}
