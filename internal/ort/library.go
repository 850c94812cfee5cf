package ort

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// Library is a loaded ONNX Runtime. It stays loaded until the program ends, because its threads may.
type Library struct {
	Path      string   // as it was loaded; a bare name when the loader found it
	Origin    string   // how it was found
	Version   string   // of ONNX Runtime
	API       int      // version of the C interface in use
	Providers []string // execution providers that the library contains, under its own names

	handle uintptr
	table  unsafe.Pointer // struct OrtApi
	env    uintptr
	alloc  uintptr // default allocator, in ordinary memory
	cpu    uintptr // OrtMemoryInfo of ordinary memory
}

var loaded struct {
	sync.Mutex
	byPath map[string]*Library
}

// Load finds and loads ONNX Runtime: the library or folder named by path, else by WINNOW_ORT_LIBRARY, else the wheel of the
// active or the first Python, else what the system's loader finds. The error is a *LibraryError.
func Load(ctx context.Context, path string) (*Library, error) {
	if !loadable {
		return nil, &LibraryError{Tried: []string{"nothing: this build cannot load shared libraries"}, Cure: "use a build without the tag noort, " +
			"on Linux, macOS or Windows with a 64-bit processor"}
	}
	loaded.Lock()
	defer loaded.Unlock()
	switch env := os.Getenv(EnvLibrary); {
	case path != "":
		return loadNamed(named("--ort-lib", path))
	case env != "":
		return loadNamed(named(EnvLibrary, env))
	}
	tried := []string{"--ort-lib: not given", EnvLibrary + ": not set"}
	for _, next := range search(ctx, os.Getenv) {
		l, why := loadFirst(next())
		if l != nil {
			return l, nil
		}
		tried = append(tried, why)
	}
	return nil, &LibraryError{Tried: tried, Cure: cureMissing}
}

// loadNamed loads what the user named; nothing else will do.
func loadNamed(c candidate) (*Library, error) {
	l, why := loadFirst(c)
	if l == nil {
		return nil, &LibraryError{Tried: []string{why}, Cure: cureMissing, Err: fmt.Errorf("%s", why)}
	}
	return l, nil
}

// loadFirst loads the first usable file of a candidate, or says why there is none.
func loadFirst(c candidate) (l *Library, why string) {
	if len(c.paths) == 0 {
		return nil, c.origin + ": " + c.why
	}
	var reasons []string
	for _, p := range c.paths {
		if l, ok := loaded.byPath[p]; ok {
			return l, ""
		}
		l, err := open(p)
		if err == nil {
			l.Origin = c.origin
			if loaded.byPath == nil {
				loaded.byPath = map[string]*Library{}
			}
			loaded.byPath[p] = l
			return l, ""
		}
		reasons = append(reasons, err.Error())
	}
	return nil, c.origin + ": " + strings.Join(reasons, "; ")
}

// open loads one file and sets its environment up.
func open(path string) (*Library, error) {
	handle, err := openShared(path)
	if err != nil {
		return nil, err
	}
	base, err := symbol(handle, "OrtGetApiBase")
	if err != nil {
		return nil, fmt.Errorf("%s is no ONNX Runtime: %w", path, err)
	}
	l := &Library{Path: path, handle: handle}
	// struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t); const char* (*GetVersionString)(void); }
	functions := (*[2]uintptr)(pointer(call(base)))
	l.Version = text(pointer(call(functions[1])))
	newest, err := negotiate(l.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for l.API = newest; l.API >= minAPI; l.API-- {
		if l.table = pointer(call(functions[0], uintptr(l.API))); l.table != nil {
			return l, l.start()
		}
	}
	return nil, fmt.Errorf("%s: ONNX Runtime %s does not offer version %d of its interface", path, l.Version, minAPI)
}

// negotiate finds the version of the interface to ask for: release 1.N has versions up to N.
func negotiate(version string) (int, error) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, fmt.Errorf("version %q is not understood", version)
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, fmt.Errorf("version %q is not understood", version)
	}
	minor, err := strconv.Atoi(parts[1])
	switch {
	case err != nil:
		return 0, fmt.Errorf("version %q is not understood", version)
	case major > 1:
		return maxAPI, nil
	case minor < minAPI:
		return 0, fmt.Errorf("ONNX Runtime %s is too old; 1.%d or newer is needed", version, minAPI)
	}
	return min(minor, maxAPI), nil
}

// start makes the environment that all sessions share.
func (l *Library) start() error {
	name := cstring("winnow")
	if err := l.do(apiCreateEnv, logFatal, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&l.env))); err != nil {
		return err
	}
	if err := l.do(apiDisableTelemetryEvents, l.env); err != nil {
		return err
	}
	if err := l.do(apiGetAllocatorWithDefaultOptions, uintptr(unsafe.Pointer(&l.alloc))); err != nil {
		return err
	}
	var err error
	if l.cpu, err = l.memory("Cpu"); err != nil {
		return err
	}
	l.Providers, err = l.availableProviders()
	return err
}

// memory describes the default memory of a kind of device.
func (l *Library) memory(device string) (info uintptr, err error) {
	name := cstring(device)
	err = l.do(apiCreateMemoryInfo, uintptr(unsafe.Pointer(name)), deviceAllocator, 0, memTypeDefault, uintptr(unsafe.Pointer(&info)))
	return info, err
}

func (l *Library) availableProviders() ([]string, error) {
	var list unsafe.Pointer // char**
	var n int32
	if err := l.do(apiGetAvailableProviders, uintptr(unsafe.Pointer(&list)), uintptr(unsafe.Pointer(&n))); err != nil {
		return nil, err
	}
	var out []string
	for _, p := range unsafe.Slice((*unsafe.Pointer)(list), n) {
		out = append(out, text(p))
	}
	return out, l.do(apiReleaseAvailableProviders, uintptr(list), uintptr(n))
}

// Has reports whether the library contains a provider, by the name that --executor takes.
func (l *Library) Has(provider string) bool {
	p, ok := providers[provider]
	return ok && slices.Contains(l.Providers, p.name)
}

// at returns the function at a place of the interface.
func (l *Library) at(e entry) uintptr {
	return *(*uintptr)(unsafe.Add(l.table, uintptr(e)*unsafe.Sizeof(uintptr(0))))
}

// do calls a function that returns a status. Pointers are converted in the argument list.
//
//go:uintptrescapes
func (l *Library) do(e entry, args ...uintptr) error { return l.status(call(l.at(e), args...)) }

// release calls one of the functions that free an object; 0 is allowed.
func (l *Library) release(e entry, object uintptr) { call(l.at(e), object) }

// Error is a status of ONNX Runtime.
type Error struct {
	Code    int // OrtErrorCode
	Message string
}

// Error is the message.
func (e *Error) Error() string { return "ONNX Runtime: " + strings.TrimSpace(e.Message) }

// status turns an OrtStatus into an error and frees it.
func (l *Library) status(s uintptr) error {
	if s == 0 {
		return nil
	}
	e := &Error{Code: int(int32(call(l.at(apiGetErrorCode), s))), Message: text(pointer(call(l.at(apiGetErrorMessage), s)))}
	l.release(apiReleaseStatus, s)
	return e
}

// pointer views an address of C memory as a pointer.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// text copies a C string.
func text(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// cstring is a copy of s with a zero at its end.
func cstring(s string) *byte { return &append([]byte(s), 0)[0] }
