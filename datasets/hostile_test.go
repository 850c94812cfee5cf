package datasets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
)

// framed puts a footer into the frame of a parquet file.
func framed(footer []byte) string {
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(footer)))
	return "PAR1" + string(footer) + string(size) + "PAR1"
}

// TestParquet_hostile opens files whose lengths claim far more than they hold: they must fail, typed, and before anything
// is allocated for them.
func TestParquet_hostile(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // varint 2³¹-1
	good, err := os.ReadFile(golden("pickapic.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":            "",
		"not parquet":      strings.Repeat("text", 10),
		"footer too long":  "PAR1" + "\xff\xff\xff\x7f" + "PAR1",
		"list too long":    framed(append([]byte{0x15, 0x02, 0x19, 0xfc}, huge...)),
		"text too long":    framed(append([]byte{0x18}, huge...)),
		"many structs":     framed(append([]byte{0x19, 0xfc, 0x80, 0x80, 0x10}, make([]byte, 1<<18)...)),
		"nested":           framed(bytes.Repeat([]byte{0x1c}, 1000)),
		"cut":              string(good[:len(good)-100]),
		"page too long":    patched(t, good),
		"page behind file": string(good[:4]) + string(good[len(good)/2:]),
	} {
		t.Run(name, func(t *testing.T) {
			path := writeTemp(t, "a.parquet", content)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := Open(path, "pickapic", nil)
			for err == nil {
				_, err = r.Next()
			}
			runtime.ReadMemStats(&after)
			var file *FileError
			if !errors.As(err, &file) || file.File != path {
				t.Errorf("%v, want a FileError", err)
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 32<<20 {
				t.Errorf("%d MiB were allocated", spent>>20)
			}
			if _, err := Detect(path); err == nil && (name == "empty" || name == "cut") {
				t.Error("Detect accepted it")
			}
		})
	}
}

// patched makes the first page claim 2³⁰ unpacked bytes: its header begins with field 1 (kind), 2 (unpacked size) as
// zigzag varints.
func patched(t *testing.T, file []byte) string {
	t.Helper()
	if file[4] != 0x15 || file[6] != 0x15 {
		t.Fatalf("the first page header begins with % x", file[4:8])
	}
	size, n := binary.Uvarint(file[7:])
	claim := binary.AppendUvarint(nil, 2<<30)
	if size == 0 || n > len(claim) {
		t.Fatal("no room for the claim")
	}
	out := bytes.Clone(file[:7])
	out = append(out, claim...)
	return string(out) + string(file[7+len(claim):])
}
