package training

import (
	"os"
	"path/filepath"
	"testing"
)

// A run that takes a folder over removes what a killed one was writing there; a folder that is held is not touched.
func TestLockOutput_sweeps(t *testing.T) {
	dir := t.TempDir()
	stray := filepath.Join(dir, ".out.safetensors1492338044")
	leave := func() {
		if err := os.WriteFile(stray, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	held, err := LockOutput(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); err == nil {
		t.Error("a file of a killed run stayed")
	}
	leave()
	if _, err := LockOutput(dir); err == nil {
		t.Error("locked twice")
	}
	if _, err := os.Stat(stray); err != nil {
		t.Error("a file of a run that is at work was removed")
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
}
