// Package lockfile keeps two processes from working in one folder. A lock is the system's own on an open file, which goes with the
// process however that ends: a file that is left behind locks nothing.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// HeldError says that another process, or another lock of this one, holds a file.
type HeldError struct {
	Path string
	By   string // what the holder wrote about itself, "" if that cannot be read
}

func (e *HeldError) Error() string {
	if e.By == "" {
		return e.Path + " is locked"
	}
	return fmt.Sprintf("%s is locked by %s", e.Path, e.By)
}

// Lock is a lock that is held.
type Lock struct{ file *os.File }

// errHeld is what the system's call says when a file is locked.
var errHeld = errors.New("held")

// Acquire locks a file, which is made if need be, for this process, described by `by`, without waiting: a lock that is held is a
// *HeldError. A file system that knows no locks gives one that holds nobody off.
func Acquire(path, by string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errHeld) {
			said, _ := io.ReadAll(io.LimitReader(f, 200))
			return nil, &HeldError{path, strings.TrimSpace(string(said))}
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteString(by + "\n")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Lock{f}, nil
}

// Release gives the lock up. The file stays: whoever removed it could remove one that the next process has locked.
func (l *Lock) Release() error { return l.file.Close() }
