// Package atomicfile writes files that are either complete or not there: the content goes to a temporary file on the same
// disk (in the system's folder for such files where that is there, else in the same folder), is flushed to disk, and takes the name by
// a rename. A process killed at any point leaves the old file or the new one.
package atomicfile

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
)

// pending is a temporary file that can become the real one.
type pending interface {
	io.Writer
	commit() error // flush to disk and rename
	abort()        // remove; does nothing after commit
}

// Write creates or replaces the file at path with what content writes (through a buffer). If content or anything else
// fails, the old file stays as it was and the error is returned.
func Write(path string, content func(w io.Writer) error) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	defer f.abort()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := content(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.commit(); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// syncDir makes the rename itself durable where the system allows it; where it does not, the file is still whole.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
