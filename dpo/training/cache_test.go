package training

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "cache.sqlite")
	for _, where := range []string{"", path} {
		c, err := OpenCache(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		k, other := keyOf([]byte("a"), []byte("bc")), keyOf([]byte("ab"), []byte("c"))
		if k == other {
			t.Error("keys of other parts are equal")
		}
		if _, ok, err := c.Get(t.Context(), k, 2); ok || err != nil {
			t.Errorf("an empty cache has it: %v", err)
		}
		if err := c.Put(t.Context(), k, []float32{1, -0.5}); err != nil {
			t.Fatal(err)
		}
		failed := errors.New("full")
		if err := c.Batch(t.Context(), func() error {
			_ = c.Put(t.Context(), other, []float32{7})
			return failed
		}); !errors.Is(err, failed) {
			t.Errorf("error %v", err)
		}
		if _, ok, _ := c.Get(t.Context(), k, 3); ok {
			t.Error("an entry of another length counts")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c, err := OpenCache(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v, ok, err := c.Get(t.Context(), keyOf([]byte("a"), []byte("bc")), 2); !ok || err != nil || !slices.Equal(v, []float32{1, -0.5}) {
		t.Errorf("read again: %v, %v, %v", v, ok, err)
	}
	if _, ok, _ := c.Get(t.Context(), keyOf([]byte("ab"), []byte("c")), 1); ok {
		t.Error("a batch that failed was stored")
	}
	alien := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(alien, []byte("not a database, but long enough to look like something\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCache(t.Context(), alien); err == nil || !strings.Contains(err.Error(), alien) {
		t.Errorf("another file was taken: %v", err)
	}
	if data, _ := os.ReadFile(alien); !strings.HasPrefix(string(data), "not a database") {
		t.Error("another file was changed")
	}
}

// Doubles come back bit for bit.
func TestHalves(t *testing.T) {
	for _, v := range []float64{0, 1, -1.0 / 3, 5e-324, 1.7e308, 0.1} {
		if a, b := halves(v); joined(a, b) != v {
			t.Errorf("%v comes back as %v", v, joined(a, b))
		}
	}
}
