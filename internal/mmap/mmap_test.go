package mmap

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenReadRelease(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef"), 10_001) // not a multiple of the page size
	f, err := Open(write(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !bytes.Equal(f.Bytes(), want) {
		t.Fatal("the mapping differs from the file")
	}
	Prefetch(f.Bytes())
	for _, part := range [][]byte{f.Bytes(), f.Bytes()[1:2], f.Bytes()[5000:9000], f.Bytes()[len(want)-1:], nil, want} {
		Release(part)
	}
	if !bytes.Equal(f.Bytes(), want) {
		t.Fatal("released pages did not come back")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || f.Bytes() != nil {
		t.Fatalf("second Close: %v, %d bytes", err, len(f.Bytes()))
	}
	if n := len(registry.files); n != 0 {
		t.Fatalf("%d files still registered", n)
	}
}

func TestLocate(t *testing.T) {
	path := write(t, []byte("0123456789"))
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, offset, ok := Locate(f.Bytes()[3:5]); !ok || got != f || offset != 3 || !got.Current() {
		t.Errorf("%v, %d, %v", got, offset, ok)
	}
	for _, b := range [][]byte{nil, f.Bytes()[:0], []byte("0123")} {
		if _, _, ok := Locate(b); ok {
			t.Errorf("%q was found in a file", b)
		}
	}
	other := path + ".new"
	if err := os.WriteFile(other, []byte("9876543210"), 0o600); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" { // a mapped file cannot be replaced there
		return
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if f.Current() {
		t.Error("a file that was replaced is taken for the one that was mapped")
	}
}

func TestReleaseLowersResidentMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // only Linux tells the resident size without further libraries
	}
	const size = 64 << 20
	f, err := Open(write(t, make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := 0
	for i := 0; i < size; i += 4096 {
		sum += int(f.Bytes()[i])
	}
	before := residentBytes(t)
	Release(f.Bytes()[:size/2])
	if got := before - residentBytes(t); got < size/2-size/16 || sum != 0 {
		t.Errorf("releasing %d bytes freed %d", size/2, got)
	}
}

func residentBytes(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestRefusals(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("missing file: %v", err)
	}
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("folder: %v", err)
	}
	f, err := Open(write(t, nil))
	if err != nil || len(f.Bytes()) != 0 {
		t.Errorf("empty file: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
