package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"winnow/internal/tensor"
)

type fact struct {
	Metadata map[string]string
	Tensors  map[string]struct {
		DType string
		Shape []int
		Data  string
	}
}

// facts are what Python wrote into the files: tests/oracle/safetensors_files.py.
func facts(t *testing.T) map[string]fact {
	t.Helper()
	data, err := os.ReadFile("testdata/facts.json")
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]fact
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReadPython(t *testing.T) {
	for name, want := range facts(t) {
		f, err := Read("testdata/" + name + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.Metadata, want.Metadata) || len(f.Names()) != len(want.Tensors) {
			t.Errorf("%s: metadata %v, %d tensors", name, f.Metadata, len(f.Names()))
		}
		for key, w := range want.Tensors {
			got, ok := f.Tensor(key)
			if !ok || dtypeNames[got.DType] != w.DType || !slices.Equal(got.Shape, w.Shape) || got.Shape == nil ||
				hex.EncodeToString(got.Data) != w.Data {
				t.Errorf("%s: tensor %q: %v %v %x, want %v", name, key, ok, got, got.Data, w)
			}
		}
		if _, ok := f.Tensor("no such"); ok {
			t.Error("found a tensor that is not there")
		}
		f.Release()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Python and this package lay files out alike, so what is written here can be compared byte by byte with what Python
// wrote: Python reads it, then.
func TestWriteEqualsPython(t *testing.T) {
	for name, want := range facts(t) {
		tensors := map[string]tensor.Tensor{}
		for key, w := range want.Tensors {
			data, err := hex.DecodeString(w.Data)
			if err != nil {
				t.Fatal(err)
			}
			tensors[key] = tensor.Tensor{DType: dtypes[w.DType], Shape: w.Shape, Data: data}
		}
		path := filepath.Join(t.TempDir(), "out.safetensors")
		if err := Write(path, tensors, want.Metadata); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		python, err := os.ReadFile("testdata/" + name + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, python) {
			t.Errorf("%s: written\n%.3000q\nPython wrote\n%.3000q", name, got, python)
		}
		if encoded, err := Encode(tensors, want.Metadata); err != nil || !bytes.Equal(encoded, got) {
			t.Errorf("%s: Encode differs from Write (%v)", name, err)
		}
	}
}

func build(head string, body int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	return append(append(out, head...), make([]byte, body)...)
}

func TestHostileFiles(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "too few"},
		{"seven bytes", make([]byte, 7), "too few"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "exceeds the limit"},
		{"limit", binary.LittleEndian.AppendUint64(nil, maxHeader+1), "exceeds the limit"},
		{"short header", binary.LittleEndian.AppendUint64(nil, 10), "only 0 follow"},
		{"empty header", build("", 0), "no JSON object"},
		{"array", build("[]", 0), "no JSON object"},
		{"leading space", build(" {}", 0), "no JSON object"},
		{"not UTF-8", build("{\"\xff\":1}", 0), "no JSON object"},
		{"unclosed", build("{"+a, 8), "header"},
		{"garbage after", build("{"+a+"}x", 8), "header"},
		{"two objects", build("{"+a+"}{}", 8), "follows the JSON object"},
		{"name twice", build("{"+a+","+a+"}", 8), "occurs twice"},
		{"name twice by escape", build(`{`+a+`,"\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}`, 16), "occurs twice"},
		{"field twice", build(`{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}`, 8), "occurs twice"},
		{"no dtype", build(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "missing"},
		{"null entry", build(`{"a":null}`, 0), "object is missing"},
		{"null shape", build(`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,8]}}`, 8), "shape is null"},
		{"negative size", build(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}`, 8), "header"},
		{"fractional size", build(`{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}}`, 8), "header"},
		{"size beyond int", build(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, 8), "dimension"},
		{"overflow", build(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}`, 8), "elements"},
		{"overflow in bytes", build(`{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}}`, 0), "bytes"},
		{"unknown type", build(`{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}`, 8), "not supported"},
		{"one offset", build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8), "1 numbers"},
		{"backwards", build(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "bytes 8 to 0"},
		{"past the end", build("{"+a+"}", 7), "bytes 0 to 8 of 7"},
		{"trailing bytes", build("{"+a+"}", 9), "take 8 bytes"},
		{"wrong length", build(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "needs 12 bytes"},
		{"overlap", build(`{`+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "within the tensor before"},
		{"same place", build(`{`+a+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "within the tensor before"},
		{"hole", build(`{`+a+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16), "hole"},
		{"metadata number", build(`{"__metadata__":{"x":1}}`, 0), "no text"},
		{"metadata list", build(`{"__metadata__":[]}`, 0), "object is missing"},
		{"bool of two", append(build(`{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 1), 2), "element 1 of a bool"},
		{"deep", build(`{"a":`+strings.Repeat("[", 100_000)+`}`, 0), "header"},
	} {
		_, err := Parse("x.safetensors", c.data)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.File != "x.safetensors" {
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
	}
}

func TestUnusualButLegal(t *testing.T) {
	f, err := Parse("x", build(`{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"e":{"data_offsets":[0,0],"extra":{"x":[1]},`+
		`"shape":[0],"dtype":"F32"}}    `, 4))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !reflect.DeepEqual(got, []string{"e", "b"}) || f.Metadata != nil {
		t.Errorf("names %v, metadata %v", got, f.Metadata)
	}
}

func TestEveryTruncationFails(t *testing.T) {
	data, err := os.ReadFile("testdata/all.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := Parse("x", data[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes pass", n, len(data))
		}
	}
}

func TestWriteRefusals(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	one := tensor.FromF32([]float32{1}, 1)
	for name, c := range map[string]struct {
		tensors map[string]tensor.Tensor
		meta    map[string]string
	}{
		"reserved name":    {map[string]tensor.Tensor{"__metadata__": one}, nil},
		"absent tensor":    {map[string]tensor.Tensor{"a": {}}, nil},
		"text tensor":      {map[string]tensor.Tensor{"a": tensor.FromStrings([]string{"x"}, 1)}, nil},
		"wrong length":     {map[string]tensor.Tensor{"a": {DType: tensor.F32, Shape: []int{2}, Data: make([]byte, 4)}}, nil},
		"name not UTF-8":   {map[string]tensor.Tensor{"\xff": one}, nil},
		"text not UTF-8":   {map[string]tensor.Tensor{"a": one}, map[string]string{"a": "\xff"}},
		"folder as a file": {nil, nil},
	} {
		target := path
		if name == "folder as a file" {
			target = filepath.Join(dir, "none", "x")
		}
		var e *Error
		if err := Write(target, c.tensors, c.meta); !errors.As(err, &e) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("files left behind: %v", list)
	}
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
}

// FuzzParse: whatever the bytes, no panic; and what is accepted survives a round trip.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(build(`{"a":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[0,3],"data_offsets":[1,1]}}`, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz", data)
		if err != nil {
			return
		}
		tensors := map[string]tensor.Tensor{}
		for _, name := range file.Names() {
			tensors[name], _ = file.Tensor(name)
		}
		again, err := Encode(tensors, file.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse("again", again)
		if err != nil {
			t.Fatal(err)
		}
		for name, x := range tensors {
			if y, _ := back.Tensor(name); !y.Equal(x) {
				t.Fatalf("%q: %v became %v", name, x, y)
			}
		}
		if !maps.Equal(back.Metadata, file.Metadata) {
			t.Fatalf("metadata %v became %v", file.Metadata, back.Metadata)
		}
	})
}
