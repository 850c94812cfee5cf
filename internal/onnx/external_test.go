package onnx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// externalProto writes a float32 TensorProto of n elements stored elsewhere.
func externalProto(n int64, entries ...string) []byte {
	b := appendInt(appendInt(appendInt(nil, 1, n), 2, 1), 14, 1)
	b = appendText(b, 8, "w")
	for i := 0; i < len(entries); i += 2 {
		b = appendMessage(b, 13, appendText(appendText(nil, 1, entries[i]), 2, entries[i+1]))
	}
	return b
}

func externalModel(n int64, entries ...string) []byte {
	return modelProto(initializer(externalProto(n, entries...)), node(nodeProto("Add", []string{"x", "w"}, []string{"y"})))
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func floats(n int) []byte {
	var b []byte
	for i := range n {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	return b
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "weights", "a b.bin"), floats(100))
	path := filepath.Join(dir, "m.onnx")
	for _, c := range []struct {
		entries []string
		first   int
	}{
		{[]string{"location", "weights/a b.bin"}, 0},
		{[]string{"location", "weights/a b.bin", "offset", "40", "length", "120", "checksum", "0123"}, 10},
		{[]string{"location", "weights/../weights/a b.bin", "offset", "280"}, 70},
	} {
		writeFile(t, path, externalModel(30, c.entries...))
		m := openTest(t, path)
		id, _ := m.Graph.Lookup("w")
		if got := m.Graph.Value(id).Const.Data; !bytes.Equal(got, floats(100)[4*c.first:4*c.first+120]) {
			t.Errorf("%v: wrong bytes", c.entries)
		}
		s := m.Summary()
		if s.ExternalFiles[c.entries[1]] != 120 || s.ExternalBytes != 120 || s.InlineBytes != 0 {
			t.Errorf("%v: summary %+v", c.entries, s)
		}
	}
}

func TestBadExternalData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	writeFile(t, filepath.Join(dir, "w"), floats(30))
	writeFile(t, filepath.Join(dir, "..", "secret"), floats(30))
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := os.Symlink(filepath.Join("..", "secret"), filepath.Join(dir, "link"))
	linkDir := os.Symlink("..", filepath.Join(dir, "up"))
	if runtime.GOOS != "windows" && (link != nil || linkDir != nil) {
		t.Fatal(link, linkDir)
	}
	secret, err := filepath.Abs(filepath.Join(dir, "..", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entries []string
		want    string
	}{
		{[]string{"location", "none"}, "put the weights file beside"},
		{[]string{"location", "sub"}, "not a regular file"},
		{[]string{"location", "../secret"}, "leads out of"},
		{[]string{"location", "sub/../../secret"}, "leads out of"},
		{[]string{"location", secret}, "leads out of"},
		{[]string{"location", "link"}, "leads out of"},
		{[]string{"location", "up/secret"}, "leads out of"},
		{[]string{"location", "w\x00"}, "leads out of"},
		{[]string{"location", "w", "offset", "1"}, "bytes 1 to 121 are needed, the file has 120"},
		{[]string{"location", "w", "offset", "9223372036854775807"}, "are needed, the file has 120"},
		{[]string{"location", "w", "offset", "-1"}, "no byte count"},
		{[]string{"location", "w", "offset", "x"}, "no byte count"},
		{[]string{"location", "w", "length", "119"}, "needs 120 bytes, the external entry declares 119"},
		{nil, "does not say where"},
	} {
		path := filepath.Join(dir, "m.onnx")
		writeFile(t, path, externalModel(30, c.entries...))
		_, err := Open(path)
		var file *FileError
		if !errors.As(err, &file) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `tensor "w"`) ||
			file.File != path {
			t.Errorf("%v: error %v, want one about %q", c.entries, err, c.want)
		}
	}
	if _, err := Parse("m", externalModel(1, "location", "w"), nil); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("without a folder: %v", err)
	}
}

// In a hub cache the model and its weights are links into one folder of blobs.
func TestHubCacheLayout(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "blobs", "aaa"), externalModel(3, "location", "model.onnx_data"))
	writeFile(t, filepath.Join(dir, "blobs", "bbb"), floats(3))
	snapshot := filepath.Join(dir, "snapshots", "1", "unet")
	if err := os.MkdirAll(snapshot, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string]string{"model.onnx": "aaa", "model.onnx_data": "bbb"} {
		if err := os.Symlink(filepath.Join("..", "..", "..", "blobs", blob), filepath.Join(snapshot, name)); err != nil {
			if runtime.GOOS == "windows" {
				return // links need a privilege there
			}
			t.Fatal(err)
		}
	}
	m := openTest(t, filepath.Join(snapshot, "model.onnx"))
	id, _ := m.Graph.Lookup("w")
	if got := m.Graph.Value(id).Const.Data; !bytes.Equal(got, floats(3)) {
		t.Errorf("%x", got)
	}
}

func TestBadPaths(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "empty.onnx"), nil)
	for path, want := range map[string]string{
		filepath.Join(dir, "none.onnx"):  "check the path",
		dir:                              "not a regular file",
		filepath.Join(dir, "empty.onnx"): "the file is empty",
	} {
		_, err := Open(path)
		var file *FileError
		if !errors.As(err, &file) || file.File != path || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := Open(filepath.Join(dir, "none.onnx")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// Weights are used where they are: a change of the bytes shows in the tensor, and Release keeps them readable.
func TestWeightsStayMapped(t *testing.T) {
	m := openTest(t, "testdata/torchscript17_ext/model.onnx")
	data := m.folder.open["model.onnx_data"].Bytes()
	inside := 0
	for _, w := range m.weights {
		if w.external == "" {
			continue
		}
		off := bytes.Index(data, w.tensor.Data)
		if off < 0 || &data[off] != &w.tensor.Data[0] {
			t.Errorf("%s was copied", w.name)
		}
		inside++
	}
	if inside < 5 {
		t.Errorf("%d external weights", inside)
	}
	before := append([]byte(nil), data...)
	m.Prefetch()
	m.Release()
	if !bytes.Equal(before, data) {
		t.Error("Release changed the weights")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
