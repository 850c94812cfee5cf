package serve

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// paths opens files below the folders that --allow-path names, and nothing else.
type paths []folder

type folder struct {
	name string // absolute
	root *os.Root
}

func openPaths(names []string) (p paths, err error) {
	for _, name := range names {
		abs, err := filepath.Abs(name)
		if err != nil {
			return p, err
		}
		root, err := os.OpenRoot(abs)
		if err != nil {
			return p, errors.Join(fmt.Errorf("allowed folder: %w", err), p.close())
		}
		p = append(p, folder{abs, root})
	}
	return p, nil
}

func (p paths) close() error {
	var all []error
	for _, f := range p {
		all = append(all, f.root.Close())
	}
	return errors.Join(all...)
}

// read gives the content of a regular file. A relative name starts at the allowed folders, in order; an absolute one must lie in
// one of them. os.Root resolves each part of the name beneath the folder, links included, so neither ".." nor a link leads out, also
// when the folder changes under way. What the error says does not tell whether a file outside exists.
func (p paths) read(name string, limit int64, l *lease) ([]byte, error) {
	if len(p) == 0 {
		return nil, errors.New("paths are not opened by this server; send the image in base64, or start it with --allow-path DIR")
	}
	var last error = fs.ErrNotExist
	for _, f := range p {
		inside := name
		if filepath.IsAbs(name) {
			rel, err := filepath.Rel(f.name, name)
			if err != nil {
				continue
			}
			inside = rel
		}
		if !filepath.IsLocal(inside) {
			continue
		}
		data, err := f.read(inside, limit, l)
		if err == nil {
			return data, nil
		}
		last = err
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	var own *refusal
	if errors.As(last, &own) {
		return nil, last
	}
	return nil, fmt.Errorf("path %q: %w", name, reason(last))
}

// reason hides what the system says of places outside, folder names included.
func reason(err error) error {
	var kept *fileError
	if errors.As(err, &kept) {
		return kept
	}
	return errors.New("there is no such file below the allowed folders")
}

type fileError struct{ why string }

func (e *fileError) Error() string { return e.why }

func (f folder) read(name string, limit int64, l *lease) ([]byte, error) {
	// Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fileError{"it is no regular file"}
	case info.Size() > limit:
		return nil, &fileError{fmt.Sprintf("it has %d bytes, and the limit is %d", info.Size(), limit)}
	}
	if err := l.take(info.Size()); err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return nil, &fileError{"it changed while it was read"}
	}
	return data, nil
}
