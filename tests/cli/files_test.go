package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"winnow/internal/onnx"
	"winnow/internal/safetensors"
	"winnow/internal/tensor"
)

// file runs the commands about files.
func (s *state) file(word string, args []string) {
	s.t.Helper()
	if word == "tensors" && len(args) > 0 {
		s.tensors(args[0], args[1:])
		return
	}
	need := map[string]int{"exists": 1, "absent": 1, "tidy": 1, "copy": 2, "truncate": 2, "replace": 3, "nan": 1, "same": 2, "remove": 1, "interrupt": 1, "bomb": 1, "golden": 2}
	if n, ok := need[word]; !ok || len(args) != n {
		s.fail("%s with %d arguments", word, len(args))
	}
	switch word {
	case "exists", "absent":
		if _, err := os.Stat(args[0]); (err == nil) != (word == "exists") {
			s.fail("%s %s: %v", word, args[0], err)
		}
	case "tidy":
		s.tidy(args[0])
	case "copy":
		s.copy(args[0], args[1])
	case "truncate":
		n, err := strconv.ParseInt(args[1], 10, 64)
		s.must(err)
		s.must(os.Truncate(args[0], n))
	case "replace":
		s.replace(args[0], args[1], args[2])
	case "same":
		a, errA := os.ReadFile(args[0])
		b, errB := os.ReadFile(args[1])
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			s.fail("%s and %s differ (%v, %v)", args[0], args[1], errA, errB)
		}
	case "nan":
		s.nan(args[0])
	case "golden":
		s.golden(args[0], args[1])
	case "bomb":
		s.must(os.WriteFile(args[0], bomb(), 0o644))
	case "remove":
		s.must(os.RemoveAll(args[0]))
	case "interrupt":
		n, err := strconv.Atoi(args[0])
		s.must(err)
		s.interrupt = time.Duration(n) * time.Millisecond
		s.interrupted = true
	}
}

// tidy insists that a folder holds pictures and reports only: no temporary and
// no half-written file.
func (s *state) tidy(dir string) {
	s.t.Helper()
	s.must(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || !slices.Contains([]string{".png", ".html", ".yaml", ".safetensors"}, filepath.Ext(path)) {
			s.fail("%s was left behind", path)
		}
		if data, err := os.ReadFile(path); err != nil || filepath.Ext(path) == ".png" && !bytes.HasSuffix(data, []byte("IEND\xaeB`\x82")) {
			s.fail("%s is not whole (%v)", path, err)
		}
		return nil
	}))
}

func (s *state) copy(from, to string) {
	s.t.Helper()
	info, err := os.Stat(from)
	s.must(err)
	if info.IsDir() {
		s.must(os.CopyFS(to, os.DirFS(from)))
		return
	}
	data, err := os.ReadFile(from)
	s.must(err)
	s.must(os.MkdirAll(filepath.Dir(to), 0o755))
	s.must(os.WriteFile(to, data, 0o644))
}

func (s *state) replace(path, from, to string) {
	s.t.Helper()
	data, err := os.ReadFile(path)
	s.must(err)
	if !bytes.Contains(data, []byte(from)) {
		s.fail("%s does not contain %q", path, from)
	}
	s.must(os.WriteFile(path, bytes.ReplaceAll(data, []byte(from), []byte(to)), 0o644))
}

// nan overwrites the largest float32 weight of an ONNX file.
func (s *state) nan(path string) {
	s.t.Helper()
	m, err := onnx.Open(path)
	s.must(err)
	var largest []byte
	for _, v := range m.Graph.Values {
		if v.Const != nil && v.Const.DType == tensor.F32 && len(v.Const.Data) > len(largest) {
			largest = bytes.Clone(v.Const.Data)
		}
	}
	s.must(m.Close())
	if len(largest) < 64 {
		s.fail("%s has no large weight", path)
	}
	for _, file := range []string{path, path + "_data", path + ".data"} {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if at := bytes.Index(data, largest); at >= 0 {
			nan := tensor.FromF32([]float32{float32(math.NaN())}, 1).Data
			copy(data[at:], bytes.Repeat(nan, len(largest)/len(nan)))
			s.must(os.WriteFile(file, data, 0o644))
			return
		}
	}
	s.fail("the weight was not found in the files of %s", path)
}

// tensors writes a safetensors file.
func (s *state) tensors(path string, specs []string) {
	s.t.Helper()
	all := map[string]tensor.Tensor{}
	for _, spec := range specs {
		name, rest, _ := strings.Cut(spec, "=")
		kind, dims, _ := strings.Cut(rest, ":")
		dt, ok := map[string]tensor.DType{"float32": tensor.F32, "int64": tensor.I64}[kind]
		if !ok {
			s.fail("%s: want NAME=float32:2x3 or NAME=int64:2x3", spec)
		}
		shape := []int{}
		for _, d := range strings.FieldsFunc(dims, func(r rune) bool { return r == 'x' }) {
			n, err := strconv.Atoi(d)
			s.must(err)
			shape = append(shape, n)
		}
		t := tensor.New(dt, shape...)
		if dt == tensor.F32 {
			for i := range t.F32() {
				t.F32()[i] = float32(math.Sin(float64(3 * i)))
			}
		}
		all[name] = t
	}
	s.must(safetensors.Write(path, all, nil))
}

// golden writes one of the small files that tests/oracle/images.py made.
func (s *state) golden(name, path string) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.tests, "golden", "images", "decode.json"))
	s.must(err)
	var g struct {
		Rows []struct {
			Name string
			File []byte
		}
	}
	s.must(json.Unmarshal(data, &g))
	for _, r := range g.Rows {
		if r.Name == name {
			s.must(os.WriteFile(path, r.File, 0o644))
			return
		}
	}
	s.fail("no golden file %q", name)
}

// bomb is a PNG that claims 60,000 × 60,000 pixels in 57 bytes.
func bomb() []byte {
	header := []byte("IHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x06\x00\x00\x00")
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
	return append(out, "\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e\x00\x00\x00\x00IEND\xaeB`\x82"...)
}
