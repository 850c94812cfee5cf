package ort

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEntries holds the places of OrtApi against the C header: testdata/ort_api.json is derived from it by
// tests/oracle/ort_api.py.
func TestEntries(t *testing.T) {
	data, err := os.ReadFile("testdata/ort_api.json")
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		APIVersion int `json:"api_version"`
		Entries    []string
	}
	if err := json.Unmarshal(data, &header); err != nil {
		t.Fatal(err)
	}
	if header.APIVersion < minAPI || len(header.Entries) < 300 {
		t.Fatalf("the table has %d entries of version %d", len(header.Entries), header.APIVersion)
	}
	source, err := os.ReadFile("api.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(source)) {
		f := strings.Fields(line)
		if len(f) != 4 || f[1] != "entry" || f[2] != "=" {
			continue
		}
		// AppendExecutionProviderCUDAV2 is SessionOptionsAppendExecutionProvider_CUDA_V2 there.
		name := strings.ReplaceAll(strings.TrimPrefix(f[0], "api"), "_", "")
		i := slices.IndexFunc(header.Entries, func(e string) bool {
			return strings.TrimPrefix(strings.ReplaceAll(e, "_", ""), "SessionOptions") == strings.TrimPrefix(name, "SessionOptions")
		})
		if got := f[3]; i < 0 || got != strconv.Itoa(i) {
			t.Errorf("%s is at %s, the header says %d", f[0], got, i)
		}
		checked++
	}
	if checked < 40 {
		t.Errorf("%d entries were checked only", checked)
	}
}

func TestNegotiate(t *testing.T) {
	for version, want := range map[string]int{"1.17.0": 17, "1.24.3": 24, "1.32.0": 32, "1.99.1": maxAPI, "2.0.0": maxAPI, "1.16.3": 0, "dev": 0, "1.x": 0, "": 0} {
		got, err := negotiate(version)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: version %d, %v, want %d", version, got, err, want)
		}
	}
}
