package lockfile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const holdEnv = "WINNOW_TEST_HOLD"

// TestMain makes the test binary a process that holds a lock until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		if _, err := Acquire(path, "a child"); err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString("held\n")
		select {}
	}
	os.Exit(m.Run())
}

// One holds a file at a time; a killed process holds it no more.
func TestAcquire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	one, err := Acquire(path, "the first, with a long text about itself")
	if err != nil {
		t.Fatal(err)
	}
	refused := func(by string) {
		t.Helper()
		_, err := Acquire(path, "other")
		var held *HeldError
		if !errors.As(err, &held) || !strings.HasPrefix(held.By, by) || held.Path != path {
			t.Errorf("while %s holds it: %v", by, err)
		}
	}
	refused("the first")
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdEnv+"="+path)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	refused("a child")
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	two, err := Acquire(path, "me")
	if err != nil {
		t.Fatalf("behind a killed process: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "me\n" {
		t.Errorf("the file says %q, %v", data, err)
	}
	if err := two.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(filepath.Join(t.TempDir(), "none", "lock"), ""); err == nil {
		t.Error("a folder that is not there is locked")
	}
}
