// Package mmap maps weights files read-only into memory: opening a file of several gigabytes costs nothing until its
// bytes are read, and what has been read can be handed back to the system with Release.
//
// A file that another process truncates while it is mapped ends this process with a bus error, as with any program that
// maps files; writers that replace files by renaming (as this project's do) are safe.
package mmap

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"
)

// File is a mapped file. Its methods are safe for concurrent use, except that nobody may read Bytes after Close.
type File struct {
	path string
	info os.FileInfo // of what was opened
	data []byte
	free func([]byte) error // nil: data is ordinary memory
}

// registry lists the open mappings, so that Release and Prefetch work on any part of any of them.
var registry struct {
	sync.RWMutex
	files []*File
}

// Open maps a regular file. Folders, devices and pipes are refused (opening a pipe could wait for ever).
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a regular file (%s)", info.Mode().Type())}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // again: the size of what was opened, not of what the name meant before
		return nil, err
	}
	return mapOpened(f, path, info)
}

func mapOpened(f *os.File, path string, info os.FileInfo) (*File, error) {
	size := info.Size()
	if int64(int(size)) != size {
		return nil, &os.PathError{Op: "map", Path: path, Err: fmt.Errorf("%d bytes exceed the address space", size)}
	}
	m := &File{path: path, info: info}
	if size == 0 { // an empty mapping is an error on most systems
		return m, nil
	}
	data, free, err := mapFile(f, int(size))
	if err != nil {
		return nil, &os.PathError{Op: "map", Path: path, Err: err}
	}
	m.data, m.free = data, free
	registry.Lock()
	registry.files = append(registry.files, m)
	registry.Unlock()
	return m, nil
}

// Path returns the name that the file was opened by.
func (f *File) Path() string { return f.path }

// Bytes returns the whole file. The memory is read-only: a store to it ends the process.
func (f *File) Bytes() []byte { return f.data }

// Close ends the mapping; every slice of Bytes becomes invalid. Closing twice is harmless.
func (f *File) Close() error {
	registry.Lock()
	defer registry.Unlock()
	data := f.data
	f.data = nil
	for i, g := range registry.files {
		if g == f {
			registry.files = append(registry.files[:i], registry.files[i+1:]...)
			break
		}
	}
	if data == nil || f.free == nil {
		return nil
	}
	return f.free(data)
}

// Release tells the system that b, if it is part of a mapped file, will not be read soon: its pages leave this process's
// resident memory and come back from the file when they are read again. It does nothing for other memory, so that a
// consumer of weights may call it without knowing where they live.
func Release(b []byte) { advise(b, adviceRelease) }

// Prefetch tells the system that b, if it is part of a mapped file, will be read soon, so that reading from disk may begin.
func Prefetch(b []byte) { advise(b, advicePrefetch) }

type advice int

const (
	adviceRelease advice = iota
	advicePrefetch
)

// advise passes on a hint for the pages that b touches. Hints are best effort: errors are of no consequence.
func advise(b []byte, a advice) {
	if len(b) == 0 {
		return
	}
	registry.RLock() // held during the call: the mapping must not go away under it
	defer registry.RUnlock()
	for _, f := range registry.files {
		if off, ok := within(f.data, b); ok {
			page := os.Getpagesize()
			lo := off &^ (page - 1)
			adviseMapped(f.data[lo:min(off+len(b), len(f.data))], a)
			return
		}
	}
}

// Locate finds the mapping that b is part of and its offset in the file. ok is false when b is empty or lies elsewhere.
func Locate(b []byte) (f *File, offset int64, ok bool) {
	if len(b) == 0 {
		return nil, 0, false
	}
	registry.RLock()
	defer registry.RUnlock()
	for _, f := range registry.files {
		if off, ok := within(f.data, b); ok {
			return f, int64(off), true
		}
	}
	return nil, 0, false
}

// Current reports whether the file's path still means the file that was mapped, unchanged in size and time.
func (f *File) Current() bool {
	now, err := os.Stat(f.path)
	return err == nil && os.SameFile(now, f.info) && now.Size() == f.info.Size() && now.ModTime().Equal(f.info.ModTime())
}

// within returns the offset of part in whole, if it lies there.
func within(whole, part []byte) (int, bool) {
	w, p := uintptr(unsafe.Pointer(unsafe.SliceData(whole))), uintptr(unsafe.Pointer(unsafe.SliceData(part)))
	if p < w || p+uintptr(len(part)) > w+uintptr(len(whole)) {
		return 0, false
	}
	return int(p - w), true
}

// readFile stands in for a mapping where the system has none.
func readFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}
