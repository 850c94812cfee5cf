package ort

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// EnvLibrary is the environment variable that names the library, or a folder that holds it.
const EnvLibrary = "WINNOW_ORT_LIBRARY"

const cureMissing = "install it with `pip install onnxruntime` (for NVIDIA cards `pip install onnxruntime-gpu`), " +
	"or name the library by --ort-lib or " + EnvLibrary

// LibraryError says that no usable ONNX Runtime was found.
type LibraryError struct {
	Tried []string // where it was looked for, each with what was found there
	Cure  string
	Err   error // why the library that was asked for by name cannot be used, nil otherwise
}

// Error lists the places and the cure.
func (e *LibraryError) Error() string {
	head := "ONNX Runtime was not found"
	if e.Err != nil {
		head = "ONNX Runtime cannot be used"
	}
	return head + ":\n  " + strings.Join(e.Tried, "\n  ") + "\n" + e.Cure
}

// Unwrap returns the cause.
func (e *LibraryError) Unwrap() error { return e.Err }

// candidate is one place to look in.
type candidate struct {
	origin string   // as messages call it
	paths  []string // files to load, best first
	why    string   // why there are none
}

// sharedNames are the patterns of the library's file name on this system, and the names that the loader knows it by.
func sharedNames() (patterns, loader []string) {
	switch runtime.GOOS {
	case "windows":
		return []string{"onnxruntime.dll"}, []string{"onnxruntime.dll"}
	case "darwin":
		return []string{"libonnxruntime*.dylib"}, []string{"libonnxruntime.dylib", "libonnxruntime.1.dylib"}
	}
	return []string{"libonnxruntime.so*"}, []string{"libonnxruntime.so.1", "libonnxruntime.so"}
}

// inFolder lists the libraries in a folder, the newest version first.
func inFolder(dir string) []string {
	var out []string
	patterns, _ := sharedNames()
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(globSafe(dir), p))
		if err == nil {
			slices.Reverse(found)
			out = append(out, found...)
		}
	}
	return out
}

// globSafe quotes what Glob would take for a pattern.
func globSafe(dir string) string {
	if runtime.GOOS == "windows" { // no quoting there, and * and ? are no characters of names
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// named is the candidate for a path that the user gave: a library, or a folder with one.
func named(origin, path string) candidate {
	c := candidate{origin: origin + " " + path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.why = "there is no such file"
	case err != nil:
		c.why = err.Error()
	case !info.IsDir():
		c.paths = []string{path}
	default:
		if c.paths = inFolder(path); len(c.paths) == 0 {
			c.why = "the folder holds no ONNX Runtime library"
		}
	}
	return c
}

// search returns the places in order, each to be asked only when those before had nothing, because some cost time.
func search(ctx context.Context, getenv func(string) string) []func() candidate {
	return []func() candidate{
		func() candidate { return virtualEnv(getenv("VIRTUAL_ENV")) },
		func() candidate { return wheel(ctx) },
		func() candidate { return loaderPath(getenv("PATH")) },
	}
}

// loaderPath lists what the system's loader finds by name. That of Windows would also look in the current folder, so it is
// given the folders of PATH one by one and searches no more than the program's and the system's folders itself.
func loaderPath(path string) candidate {
	c := candidate{origin: "loader path"}
	if runtime.GOOS == "windows" {
		for _, dir := range filepath.SplitList(path) {
			if filepath.IsAbs(dir) {
				c.paths = append(c.paths, inFolder(dir)...)
			}
		}
	}
	_, names := sharedNames()
	c.paths = append(c.paths, names...)
	return c
}

// virtualEnv looks for the wheel of an active Python environment.
func virtualEnv(dir string) candidate {
	c := candidate{origin: "VIRTUAL_ENV"}
	if dir == "" {
		c.why = "not set"
		return c
	}
	c.origin += " " + dir
	for _, site := range []string{"lib/python3*/site-packages", "Lib/site-packages"} {
		folders, err := filepath.Glob(filepath.Join(globSafe(dir), filepath.FromSlash(site), "onnxruntime", "capi"))
		if err != nil {
			continue
		}
		slices.Reverse(folders)
		for _, f := range folders {
			c.paths = append(c.paths, inFolder(f)...)
		}
	}
	if len(c.paths) == 0 {
		c.why = "holds no onnxruntime wheel"
	}
	return c
}

// findWheel prints where Python would import onnxruntime from, without importing it. The folder that winnow is started in
// does not count.
const findWheel = `import sys
sys.path = [p for p in sys.path if p]
import importlib.util
s = importlib.util.find_spec("onnxruntime")
print(s.submodule_search_locations[0] if s and s.submodule_search_locations else "")`

// wheel asks the Python on PATH for its onnxruntime wheel.
func wheel(ctx context.Context) candidate {
	c := candidate{origin: "Python wheel"}
	names := []string{"python3", "python"}
	i := slices.IndexFunc(names, func(n string) bool { _, err := exec.LookPath(n); return err == nil })
	if i < 0 {
		c.why = "there is no python3 on PATH"
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, names[i], "-c", findWheel).Output()
	dir := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		c.why = fmt.Sprintf("%s: %v", names[i], err)
	case dir == "":
		c.why = names[i] + " on PATH has no onnxruntime"
	default:
		c.origin += " " + dir
		if c.paths = inFolder(filepath.Join(dir, "capi")); len(c.paths) == 0 {
			c.why = "its capi folder holds no library"
		}
	}
	return c
}
