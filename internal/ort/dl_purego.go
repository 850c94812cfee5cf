//go:build (linux || darwin || windows) && (amd64 || arm64) && !android && !noort

package ort

import "github.com/ebitengine/purego"

// loadable says whether this build can load a shared library.
const loadable = true

// call calls a C function. Arguments are numbers or pointers converted in the argument list itself, which keeps what they
// point to alive and in place during the call.
//
//go:uintptrescapes
func call(fn uintptr, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(fn, args...)
	return r
}
