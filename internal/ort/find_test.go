package ort

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeWheel makes a folder that looks like an installed wheel.
func fakeWheel(t *testing.T, dir string, names ...string) string {
	t.Helper()
	capi := filepath.Join(dir, "onnxruntime", "capi")
	if err := os.MkdirAll(capi, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.WriteFile(filepath.Join(capi, n), []byte("no library"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return capi
}

// libraryName is a file name that the search takes for the library here.
func libraryName() string {
	patterns, _ := sharedNames()
	return strings.ReplaceAll(patterns[0], "*", "")
}

func TestVirtualEnv(t *testing.T) {
	env := filepath.Join(t.TempDir(), "odd [name]")
	site := filepath.Join(env, "lib", "python3.12", "site-packages")
	capi := fakeWheel(t, site, libraryName(), "other.so")
	if c := virtualEnv(env); !slices.Equal(c.paths, []string{filepath.Join(capi, libraryName())}) {
		t.Errorf("found %v", c)
	}
	if c := virtualEnv(t.TempDir()); len(c.paths) != 0 || c.why == "" {
		t.Errorf("empty environment: %v", c)
	}
	if c := virtualEnv(""); c.why != "not set" {
		t.Errorf("no environment: %v", c)
	}
}

// What the user names is used or refused; nothing else is tried.
func TestLoadNamed(t *testing.T) {
	if !loadable {
		return
	}
	dir := t.TempDir()
	garbage := filepath.Join(fakeWheel(t, dir, libraryName()), libraryName())
	for _, path := range []string{filepath.Join(dir, "absent"), dir, garbage, filepath.Dir(garbage)} {
		for _, byEnv := range []bool{false, true} {
			flag, origin := path, "--ort-lib"
			t.Setenv(EnvLibrary, "/nowhere")
			if byEnv {
				flag, origin = "", EnvLibrary
				t.Setenv(EnvLibrary, path)
			}
			_, err := Load(t.Context(), flag)
			var lib *LibraryError
			if !errors.As(err, &lib) || lib.Err == nil || len(lib.Tried) != 1 {
				t.Fatalf("%s: %v", path, err)
			}
			for _, part := range []string{origin, path, "pip install onnxruntime", EnvLibrary} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: the message lacks %q: %v", path, part, err)
				}
			}
		}
	}
}

// Without a library anywhere the error lists all places.
func TestLoadMissing(t *testing.T) {
	if !loadable {
		return
	}
	t.Setenv(EnvLibrary, "")
	t.Setenv("VIRTUAL_ENV", "")
	t.Setenv("PATH", t.TempDir())
	l, err := Load(t.Context(), "")
	if l != nil { // this system's loader knows one
		return
	}
	var lib *LibraryError
	if !errors.As(err, &lib) || lib.Err != nil {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"--ort-lib", EnvLibrary, "VIRTUAL_ENV", "PATH", "loader path", "pip install onnxruntime"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the message lacks %q: %v", part, err)
		}
	}
}

func TestParse(t *testing.T) {
	for name, want := range map[string]string{"onnxruntime": CPU, "onnxruntime:cuda": "cuda", "onnxruntime:cpu": CPU} {
		if embedded, p, err := Parse(name); embedded || p != want || err != nil {
			t.Errorf("%q: %v, %q, %v", name, embedded, p, err)
		}
	}
	for _, name := range []string{"", "embedded"} {
		if embedded, _, err := Parse(name); !embedded || err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"onnx", "onnxruntime:", "onnxruntime:gpu", "embedded:cuda"} {
		if _, _, err := Parse(name); err == nil || !strings.Contains(err.Error(), "known are") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range Names() {
		if _, _, err := Parse(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A provider that the library lacks is refused with what it has and where to get the other.
func TestProviderMissing(t *testing.T) {
	l := executor(t).Library()
	for _, p := range ProviderNames() {
		if l.Has(p) {
			continue
		}
		_, err := New(t.Context(), Options{Provider: p})
		var bad *ProviderError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), "CPUExecutionProvider") || !strings.Contains(err.Error(), "pip install") {
			t.Errorf("%s: %v", p, err)
		}
	}
}
