package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// entries lists the folder, so that a temporary file left behind fails a test.
func entries(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"first", strings.Repeat("second", 1<<18), ""} {
		err := Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if read(t, path) != text || entries(t, filepath.Dir(path)) != 1 {
			t.Fatalf("%d bytes, want %d", len(read(t, path)), len(text))
		}
	}
}

func TestFailureKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("cause")
	err := Write(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 3<<20)); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) || read(t, path) != "old" || entries(t, filepath.Dir(path)) != 1 {
		t.Errorf("error %v, file %q, %d entries", err, read(t, path), entries(t, filepath.Dir(path)))
	}
	func() {
		defer func() { _ = recover() }()
		_ = Write(path, func(io.Writer) error { panic("in content") })
	}()
	if read(t, path) != "old" || entries(t, filepath.Dir(path)) != 1 {
		t.Error("a panic left something behind")
	}
	if err := Write(filepath.Join(path, "below", "a", "file"), func(io.Writer) error { return nil }); err == nil {
		t.Error("no error for a folder that does not exist")
	}
}
