package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

// What Write names its temporary files is swept away, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	f, err := create(filepath.Join(dir, "out.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.abort)
	kept := []string{".lock", ".out.mp4", ".out.123456789", "out.json123456789", ".hidden.json", ".12345678"}
	for _, name := range append([]string{".out.safetensors1492338044", ".train.yaml123456"}, kept...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	below := filepath.Join(dir, "run")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(below, ".a.json123456789"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, dir); n != len(kept)+1 || entries(t, below) != 1 {
		t.Errorf("%d entries, want %d", n, len(kept)+1)
	}
	if err := Sweep(filepath.Join(dir, "none")); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
